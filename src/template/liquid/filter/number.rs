//! Filters of numbers. Whole numbers stay whole, and dividing them rounds down, as in Liquid's first home, Ruby.

use super::{Answer, Call, Refusal, Val};

/// The number that a value is or, as a text, spells. Nothing is zero.
pub(in super::super) fn number(value: &Val<'_>) -> Result<f64, Refusal> {
    Ok(match exact(value)? {
        Val::Int(number) => number as f64,
        Val::Float(number) => number,
        _ => 0.0,
    })
}

/// The number, whole or not.
pub(super) fn exact(value: &Val<'_>) -> Result<Val<'static>, Refusal> {
    let refusal = || Refusal::Because(format!("{} is not a number", value.kind()));
    match value {
        Val::Nil => Ok(Val::Int(0)),
        Val::Int(number) => Ok(Val::Int(*number)),
        Val::Float(number) => Ok(Val::Float(*number)),
        value => {
            let text = value.as_str().ok_or_else(refusal)?.trim();
            let whole = text.parse().ok().map(Val::Int);
            let real = || text.parse().ok().filter(|number: &f64| number.is_finite()).map(Val::Float);
            whole.or_else(real).ok_or_else(refusal)
        }
    }
}

/// A result that is a count.
pub(super) fn whole(number: usize) -> Val<'static> {
    Val::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

/// A result with a fraction. Fifteen digits are what a float holds for sure; the rest is noise, as in 0.1 + 0.2.
pub(super) fn float(number: f64) -> Answer<'static> {
    match format!("{number:.14e}").parse() {
        Ok(number) if f64::is_finite(number) => Ok(Val::Float(number)),
        _ => Err("the number is too large".to_owned().into()),
    }
}

/// A result without a fraction.
pub(super) fn integer(number: f64) -> Answer<'static> {
    // Floats beyond this are whole already, and integers saturate.
    if number.abs() < 9e15 { Ok(Val::Int(number as i64)) } else { float(number) }
}

/// The sum of two numbers.
pub(super) fn add(one: &Val<'_>, other: &Val<'_>) -> Answer<'static> {
    combine(one, other, i64::checked_add, |one, other| one + other)
}

/// A whole result of two whole numbers if there is one, else one with a fraction.
pub(super) fn combine(
    one: &Val<'_>,
    other: &Val<'_>,
    whole: fn(i64, i64) -> Option<i64>,
    real: fn(f64, f64) -> f64,
) -> Answer<'static> {
    let (one, other) = (exact(one)?, exact(other)?);
    if let (Val::Int(one), Val::Int(other)) = (&one, &other)
        && let Some(result) = whole(*one, *other)
    {
        return Ok(Val::Int(result));
    }
    float(real(number(&one)?, number(&other)?))
}

pub(super) fn floor_div(one: i64, other: i64) -> Option<i64> {
    let (quotient, rest) = (one.checked_div(other)?, one.checked_rem(other)?);
    Some(if rest != 0 && (rest < 0) != (other < 0) { quotient - 1 } else { quotient })
}

pub(super) fn floor_mod(one: i64, other: i64) -> Option<i64> {
    let rest = one.checked_rem(other)?;
    Some(if rest != 0 && (rest < 0) != (other < 0) { rest + other } else { rest })
}

/// The bound where `replaces` says so of the input and it, else the input.
pub(super) fn pick<'s>(call: &Call<'_, 's>, replaces: fn(f64, f64) -> bool) -> Answer<'s> {
    let (input, bound) = (exact(&call.input)?, exact(&call.arg(0))?);
    Ok(if replaces(number(&input)?, number(&bound)?) { bound } else { input })
}

pub(super) fn round<'s>(call: &Call<'_, 's>) -> Answer<'s> {
    const MOST_DECIMALS: usize = 12;
    let (number, decimals) = (number(&call.input)?, call.count_or(0, 0)?);
    if decimals > MOST_DECIMALS {
        return Err(format!("at most {MOST_DECIMALS} decimals").into());
    }
    if decimals == 0 {
        return integer(number.round());
    }
    let scale = 10f64.powi(decimals as i32);
    float((number * scale).round() / scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn division_and_rest_belong_together(one in any::<i64>(), other in any::<i64>()) {
            if let (Some(quotient), Some(rest)) = (floor_div(one, other), floor_mod(one, other)) {
                prop_assert_eq!(i128::from(quotient) * i128::from(other) + i128::from(rest), i128::from(one));
                prop_assert!(rest == 0 || (rest < 0) == (other < 0));
            }
        }
    }
}
