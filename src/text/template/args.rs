//! Arguments of Python's functions, by position or by name.

use minijinja::value::{Kwargs, from_args};
use minijinja::{Error, ErrorKind, State, Value};

/// Binds arguments to the names of a function's parameters; None where one is not given.
pub(super) fn bind<const N: usize>(
    positional: &[Value],
    named: &Kwargs,
    names: [&str; N],
) -> Result<[Option<Value>; N], Error> {
    if positional.len() > N {
        return Err(Error::from(ErrorKind::TooManyArguments));
    }
    let mut bound = names.map(|_| None);
    for (slot, value) in bound.iter_mut().zip(positional) {
        *slot = Some(value.clone());
    }
    for (slot, name) in bound.iter_mut().zip(names) {
        if named.has(name) {
            if slot.is_some() {
                return Err(invalid(format!("two values for {name}")));
            }
            *slot = Some(named.get(name)?);
        }
    }
    named.assert_all_used()?;
    Ok(bound)
}

/// As [`bind`], for a method's arguments.
pub(super) fn bind_method<const N: usize>(
    args: &[Value],
    names: [&str; N],
) -> Result<[Option<Value>; N], Error> {
    let (positional, named): (&[Value], Kwargs) = from_args(args)?;
    bind(positional, &named, names)
}

/// An error of a template.
pub(super) fn invalid(why: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, why.into())
}

/// An argument that has to be there.
pub(super) fn required(value: Option<Value>, name: &str) -> Result<Value, Error> {
    value.ok_or_else(|| Error::new(ErrorKind::MissingArgument, format!("{name} is missing")))
}

/// The text that an argument is.
pub(super) fn text<'v>(value: &'v Value, name: &str) -> Result<&'v str, Error> {
    value.as_str().ok_or_else(|| invalid(format!("{name} is a {}, must be a string", value.kind())))
}

/// A whole number, or `default` where the argument is missing or none.
pub(super) fn integer(value: Option<&Value>, default: i64, name: &str) -> Result<i64, Error> {
    match value {
        None => Ok(default),
        Some(value) if value.is_none() => Ok(default),
        Some(value) => {
            value.as_i64().ok_or_else(|| invalid(format!("{name} is {value}, must be a whole number")))
        }
    }
}

/// Whether an argument is true.
pub(super) fn truth(value: Option<&Value>) -> bool {
    value.is_some_and(Value::is_true)
}

/// Pays for `bytes` that are read or about to be made, as minijinja does: one unit for 64.
pub(super) fn charge(state: &State, bytes: usize) -> Result<(), Error> {
    state.consume_fuel((bytes / 64) as u64)
}
