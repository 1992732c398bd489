//! `kth_best(value, k)`.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Float64Array, Float64Builder, ListBuilder},
    datatypes::{DataType, Field, FieldRef, Float64Type},
};
use datafusion::{
    common::{Result, ScalarValue, plan_err},
    logical_expr::{
        Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature,
        Volatility,
        function::{AccumulatorArgs, StateFieldsArgs},
    },
    physical_expr::expressions::Literal,
};

/// The name in SQL.
const NAME: &str = "kth_best";

/// `kth_best(value, k)`: the k-th largest value, the smallest where there are fewer; null where there is none.
///
/// It holds at most 2 k numbers per group, so a quota per class needs no sort of all rows.
pub(super) fn kth_best() -> AggregateUDF {
    AggregateUDF::from(KthBest {
        signature: Signature::exact(
            vec![DataType::Float64, DataType::Int64],
            Volatility::Immutable,
        ),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct KthBest {
    signature: Signature,
}

impl AggregateUDFImpl for KthBest {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Float64)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let name = format!("{}[best]", args.name);
        Ok(vec![Arc::new(Field::new(name, state_type(), true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(One {
            best: Best::default(),
            k: constant_k(&args)?,
        }))
    }

    fn groups_accumulator_supported(&self, _: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Grouped {
            groups: Vec::new(),
            k: constant_k(&args)?,
        }))
    }
}

fn state_type() -> DataType {
    DataType::new_list(DataType::Float64, true)
}

fn constant_k(args: &AccumulatorArgs) -> Result<usize> {
    let literal = args.exprs.get(1).and_then(|k| k.downcast_ref::<Literal>());
    match literal.map(Literal::value) {
        Some(ScalarValue::Int64(Some(k))) if *k >= 0 => {
            Ok(usize::try_from(*k).unwrap_or(usize::MAX))
        }
        _ => plan_err!("{NAME} takes (value, k), k a constant whole number, 0 or more"),
    }
}

/// The largest values so far, some more of them than wanted.
#[derive(Debug, Default, Clone)]
struct Best {
    values: Vec<f64>,
    /// Among the values are as many as wanted that are not below this one.
    floor: Option<f64>,
}

impl Best {
    fn push(&mut self, value: f64, k: usize) {
        if k == 0 || value.is_nan() || self.floor.is_some_and(|floor| value <= floor) {
            return;
        }
        self.values.push(value);
        if self.values.len() >= k.saturating_mul(2).max(16) {
            self.shrink(k);
        }
    }

    fn shrink(&mut self, k: usize) {
        if self.values.len() > k && k > 0 {
            let (_, floor, _) = self
                .values
                .select_nth_unstable_by(k - 1, |a, b| b.total_cmp(a));
            self.floor = Some(*floor);
            self.values.truncate(k);
        }
    }

    /// The answer.
    fn kth(&mut self, k: usize) -> Option<f64> {
        self.shrink(k);
        self.values.iter().copied().reduce(f64::min)
    }

    fn size(&self) -> usize {
        self.values.capacity() * size_of::<f64>()
    }
}

/// For all rows together.
#[derive(Debug)]
struct One {
    best: Best,
    k: usize,
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for value in values[0].as_primitive::<Float64Type>().iter().flatten() {
            self.best.push(value, self.k);
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.best.kth(self.k)))
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.best.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let state = lists([&mut self.best], self.k);
        Ok(vec![ScalarValue::try_from_array(&state, 0)?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        for list in states[0].as_list::<i32>().iter().flatten() {
            self.update_batch(&[list])?;
        }
        Ok(())
    }
}

/// One [`Best`] per group.
#[derive(Debug)]
struct Grouped {
    groups: Vec<Best>,
    k: usize,
}

impl GroupsAccumulator for Grouped {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total: usize,
    ) -> Result<()> {
        self.groups.resize_with(total, Best::default);
        let values = values[0].as_primitive::<Float64Type>();
        let wanted =
            |row: usize| filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
        for (row, (value, &group)) in values.iter().zip(groups).enumerate() {
            if let Some(value) = value.filter(|_| wanted(row)) {
                self.groups[group].push(value, self.k);
            }
        }
        Ok(())
    }

    fn evaluate(&mut self, emit: EmitTo) -> Result<ArrayRef> {
        let mut groups = emit.take_needed(&mut self.groups);
        let best = groups.iter_mut().map(|best| best.kth(self.k));
        Ok(Arc::new(best.collect::<Float64Array>()))
    }

    fn state(&mut self, emit: EmitTo) -> Result<Vec<ArrayRef>> {
        let mut groups = emit.take_needed(&mut self.groups);
        Ok(vec![lists(&mut groups, self.k)])
    }

    fn merge_batch(&mut self, states: &[ArrayRef], groups: &[usize], total: usize) -> Result<()> {
        self.groups.resize_with(total, Best::default);
        for (list, &group) in states[0].as_list::<i32>().iter().zip(groups) {
            let Some(list) = list else { continue };
            for value in list.as_primitive::<Float64Type>().iter().flatten() {
                self.groups[group].push(value, self.k);
            }
        }
        Ok(())
    }

    fn convert_to_state(
        &self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        let mut rows = Self {
            groups: Vec::new(),
            k: self.k,
        };
        let each: Vec<usize> = (0..values[0].len()).collect();
        rows.update_batch(values, &each, filter, each.len())?;
        rows.state(EmitTo::All)
    }

    fn size(&self) -> usize {
        let held: usize = self.groups.iter().map(Best::size).sum();
        held + self.groups.capacity() * size_of::<Best>()
    }
}

/// The values of each as a list.
fn lists<'a>(groups: impl IntoIterator<Item = &'a mut Best>, k: usize) -> ArrayRef {
    let mut lists = ListBuilder::new(Float64Builder::new());
    for best in groups {
        best.shrink(k);
        lists.values().append_slice(&best.values);
        lists.append(true);
    }
    Arc::new(lists.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kth(values: &[f64], k: usize) -> Option<f64> {
        let mut best = Best::default();
        values.iter().for_each(|&value| best.push(value, k));
        best.kth(k)
    }

    #[test]
    fn equals_a_sort_for_every_k() {
        let mut state = 11u64;
        for levels in [1, 4, 1000] {
            let values: Vec<f64> = (0..300)
                .map(|_| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    ((state >> 33) % levels) as f64 - 2.0
                })
                .collect();
            let mut sorted = values.clone();
            sorted.sort_by(|a, b| b.total_cmp(a));
            for k in 1..=310 {
                let expected = sorted.get(k - 1).or(sorted.last()).copied();
                assert_eq!(kth(&values, k), expected, "levels {levels}, k {k}");
            }
        }
        assert_eq!(kth(&[], 3), None);
        assert_eq!(kth(&[f64::NAN, 1.0], 1), Some(1.0));
    }

    #[test]
    fn parts_merge_to_the_whole() {
        let values: Vec<f64> = (0..100).map(|value| f64::from(value * 37 % 101)).collect();
        let groups: Vec<usize> = (0..100).map(|row| row % 3).collect();
        let array = |values: &[f64]| Arc::new(Float64Array::from(values.to_vec())) as ArrayRef;
        let grouped = || Grouped {
            groups: Vec::new(),
            k: 5,
        };
        let mut whole = grouped();
        whole
            .update_batch(&[array(&values)], &groups, None, 3)
            .unwrap();
        let mut merged = grouped();
        for (values, groups) in values.chunks(30).zip(groups.chunks(30)) {
            let mut part = grouped();
            part.update_batch(&[array(values)], groups, None, 3)
                .unwrap();
            merged
                .merge_batch(&part.state(EmitTo::All).unwrap(), &[0, 1, 2], 3)
                .unwrap();
        }
        let answer = |mut grouped: Grouped| grouped.evaluate(EmitTo::All).unwrap();
        assert_eq!(&answer(whole), &answer(merged));
    }
}
