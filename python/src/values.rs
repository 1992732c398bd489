//! What Python gives to an option.

use clip_filter::cli::call::Value;
use pyo3::{
    prelude::*,
    types::{PyBool, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PySet, PyString, PyTuple},
};

/// Keyword arguments as options; what is `None` is not given.
pub(crate) fn options(given: &Bound<'_, PyDict>) -> PyResult<Vec<(String, Value)>> {
    let mut options = Vec::new();
    for (name, value) in given {
        if !value.is_none() {
            options.push((name.extract()?, of(&value)?));
        }
    }
    Ok(options)
}

fn of(given: &Bound<'_, PyAny>) -> PyResult<Value> {
    // A bool is an int to Python.
    if let Ok(switch) = given.cast::<PyBool>() {
        return Ok(Value::Switch(switch.is_true()));
    }
    if given.is_instance_of::<PyString>() {
        return Ok(Value::Text(given.extract()?));
    }
    if given.is_instance_of::<PyInt>() || given.hasattr("__index__")? {
        let whole = given.call_method0("__index__")?.extract::<i128>();
        return Ok(whole.map_or(Value::Other("a whole number"), Value::Whole));
    }
    if given.is_instance_of::<PyFloat>() || given.hasattr("__float__")? {
        return Ok(Value::Float(given.extract::<f64>()?.to_string()));
    }
    if given.hasattr("__fspath__")? {
        let path = given.call_method0("__fspath__")?;
        let path = path.extract::<String>();
        return Ok(path.map_or(Value::Other("a path that is no text"), Value::Text));
    }
    if let Ok(named) = given.cast::<PyDict>() {
        let pairs = named.iter().map(|(name, value)| {
            let (name, value): (String, String) = (name.str()?.extract()?, value.str()?.extract()?);
            Ok(Value::Text(format!("{name}={value}")))
        });
        return Ok(Value::Many(pairs.collect::<PyResult<_>>()?));
    }
    let is_many = given.is_instance_of::<PyList>()
        || given.is_instance_of::<PyTuple>()
        || given.is_instance_of::<PySet>()
        || given.is_instance_of::<PyFrozenSet>();
    if is_many {
        let values = given.try_iter()?.map(|value| of(&value?));
        return Ok(Value::Many(values.collect::<PyResult<_>>()?));
    }
    Ok(Value::Other("an object of another type"))
}
