//! How an AVIF says that its picture is to be turned.

use crate::turn::Turn;

/// The turn that the properties of a picture ask for: first counter-clockwise by quarters, then mirrored.
pub(crate) fn turn<'a>(properties: impl Iterator<Item = ([u8; 4], &'a [u8])>) -> Turn {
    let (mut quarters, mut axis) = (None, None);
    for (kind, content) in properties {
        let value = content.first().copied();
        match &kind {
            b"irot" if quarters.is_none() => quarters = value.map(|value| value & 3),
            b"imir" if axis.is_none() => axis = value.map(|value| value & 1),
            _ => {}
        }
    }
    Turn::of(match (quarters.unwrap_or(0), axis) {
        (0, None) => 1,
        (1, None) => 8,
        (2, None) => 3,
        (_, None) => 6,
        (0, Some(1)) | (2, Some(0)) => 2,
        (0, Some(_)) | (2, Some(_)) => 4,
        (1, Some(1)) | (3, Some(0)) => 7,
        (_, Some(_)) => 5,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers are those that Pillow gives quarters and axes, both where there are any.
    #[test]
    fn quarters_and_mirrors_make_the_eight_orientations() {
        let cases: [(Option<u8>, Option<u8>, u8); 12] = [
            (None, None, 1),
            (Some(1), None, 8),
            (Some(2), None, 3),
            (Some(3), None, 6),
            (None, Some(0), 4),
            (None, Some(1), 2),
            (Some(1), Some(0), 5),
            (Some(1), Some(1), 7),
            (Some(2), Some(0), 2),
            (Some(2), Some(1), 4),
            (Some(3), Some(0), 7),
            (Some(3), Some(1), 5),
        ];
        for (quarters, axis, number) in cases {
            let boxes = [(*b"irot", quarters), (*b"imir", axis)];
            let boxes: Vec<([u8; 4], [u8; 1])> = boxes
                .into_iter()
                .filter_map(|(kind, value)| value.map(|value| (kind, [value])))
                .collect();
            let properties = boxes.iter().map(|(kind, value)| (*kind, &value[..]));
            assert_eq!(turn(properties), Turn::of(number), "{quarters:?} {axis:?}");
        }
    }
}
