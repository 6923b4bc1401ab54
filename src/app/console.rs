//! What the program says to whoever started it. One who does not listen any more holds up nothing and ends nothing: the
//! macros of the standard library panic then.

use std::fmt::Arguments;
use std::io::Write;

/// Says it on standard output.
pub fn out(text: Arguments<'_>) {
    let mut output = std::io::stdout().lock();
    let _ = output.write_fmt(text).and_then(|()| output.flush());
}

/// Says it on standard error.
pub fn err(text: Arguments<'_>) {
    let _ = std::io::stderr().write_fmt(text);
}

/// Says text on standard output.
macro_rules! say {
    ($($text:tt)*) => { $crate::app::console::out(format_args!($($text)*)) };
}

/// Says a line on standard output.
macro_rules! say_line {
    () => { $crate::app::console::out(format_args!("\n")) };
    ($($text:tt)*) => { $crate::app::console::out(format_args!("{}\n", format_args!($($text)*))) };
}

/// Says a line on standard error.
macro_rules! remark {
    ($($text:tt)*) => { $crate::app::console::err(format_args!("{}\n", format_args!($($text)*))) };
}

pub(crate) use {remark, say, say_line};
