//! Outputs on a local disk: visible when they are finished, replaced as a whole, never instead of a user's data.

use super::*;
use crate::sink::{OutputPlaces, Staged};

fn placement(destination: &Destination) -> Placement<'_> {
    Placement {
        destination,
        existing: Existing::Replaced,
        owner: Owner::Process,
    }
}

fn stage(destination: &Destination) -> Staged {
    OutputPlaces::default()
        .stage(&placement(destination))
        .unwrap()
}

fn write(staged: &mut Staged, number: usize) {
    let mut part = staged.part(number).unwrap();
    part.write_all(b"x").unwrap();
    staged.add(part.close().unwrap());
}

#[test]
fn nothing_is_visible_before_the_end_or_after_a_drop() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.parquet");
    let destination = Destination::of(path.clone().into());
    drop(stage(&destination));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    let mut staged = stage(&destination);
    write(&mut staged, 0);
    assert!(!path.exists());
    assert_eq!(staged.finish().unwrap(), [path.display().to_string()]);
    assert_eq!(std::fs::read(&path).unwrap(), b"x");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[test]
fn parts_are_written_side_by_side_and_told_in_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out");
    let mut staged = stage(&Destination::of(path.clone().into()));
    let parts: Vec<_> = [1, 0].map(|number| staged.part(number).unwrap()).into();
    for (mut part, text) in parts.into_iter().zip(["second", "first"]) {
        part.write_all(text.as_bytes()).unwrap();
        staged.add(part.close().unwrap());
    }
    let names = staged.finish().unwrap();
    let read: Vec<String> = names
        .iter()
        .map(|name| std::fs::read_to_string(name).unwrap())
        .collect();
    assert_eq!(read, ["first", "second"]);
}

#[test]
fn one_file_has_one_part() {
    let dir = tempfile::tempdir().unwrap();
    let staged = stage(&Destination::file(dir.path().join("a.parquet")));
    assert!(staged.part(1).is_err());
}

#[test]
fn a_directory_is_replaced_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let destination = Destination::of(dir.path().join("out").into());
    for parts in [3, 1] {
        LocalCommit.check(&placement(&destination), &[]).unwrap();
        let mut staged = stage(&destination);
        (0..parts).for_each(|number| write(&mut staged, number));
        staged.finish().unwrap();
    }
    let mut names: Vec<_> = std::fs::read_dir(dir.path().join("out"))
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["_SUCCESS", "part-00000.parquet"]);
}

#[test]
fn user_data_is_never_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in.parquet");
    std::fs::write(&input, b"x").unwrap();
    let inputs = [OutputPath::from(input.clone())];
    let check = |path: &Path, existing| {
        let destination = Destination::of(path.into());
        let placement = Placement {
            existing,
            ..placement(&destination)
        };
        LocalCommit.check(&placement, &inputs)
    };
    let (kept, replaced) = (Existing::Kept, Existing::Replaced);
    assert!(check(&input, replaced).is_err(), "output is input");
    assert!(
        check(dir.path(), replaced).is_err(),
        "output holds the input"
    );
    let other = dir.path().join("other");
    std::fs::create_dir(&other).unwrap();
    assert!(check(&other, kept).is_ok(), "an empty directory is free");
    std::fs::write(other.join("thesis.txt"), b"x").unwrap();
    assert!(
        check(&other, replaced).is_err(),
        "a directory with other files"
    );
    let file = dir.path().join("old.parquet");
    std::fs::write(&file, b"x").unwrap();
    assert!(check(&file, kept).is_err());
    assert!(check(&file, replaced).is_ok());
    let nowhere = Destination::of(dir.path().join("no/such/out.parquet").into());
    assert!(OutputPlaces::default().stage(&placement(&nowhere)).is_err());
}

#[test]
fn finishing_again_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let destination = Destination::of(dir.path().join("out").into());
    let mut staged = stage(&destination);
    write(&mut staged, 0);
    let pending = staged.pending().clone();
    assert_eq!(LocalCommit.fate(&pending).unwrap(), Fate::Staged);
    staged.finish().unwrap();
    assert_eq!(LocalCommit.fate(&pending).unwrap(), Fate::Visible);
    LocalCommit.finish(&pending).unwrap();
    std::fs::remove_dir_all(dir.path().join("out")).unwrap();
    assert_eq!(LocalCommit.fate(&pending).unwrap(), Fate::Lost);
    assert!(LocalCommit.finish(&pending).is_err());
}
