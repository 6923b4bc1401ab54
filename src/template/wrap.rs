//! Lines of text, broken where mail programs would break them badly.

/// The width at which lines break: mail programs wrap and quote longer ones badly.
const WIDTH: usize = 76;

/// Breaks each line of `text` at its blanks, under the marks of quotes and lists that it begins with. No blanks at the
/// ends of lines, at most one empty line in a row, none around.
pub(super) fn lines(text: &str) -> String {
    let mut wrapped = String::with_capacity(text.len() + text.len() / 32);
    let mut empty = 0;
    for line in text.lines().map(str::trim_end) {
        empty = if line.is_empty() { empty + 1 } else { 0 };
        if empty < 2 {
            break_into(&mut wrapped, line);
        }
    }
    wrapped.trim_matches('\n').to_owned()
}

fn break_into(wrapped: &mut String, line: &str) {
    if width(line) <= WIDTH {
        wrapped.push_str(line);
        wrapped.push('\n');
        return;
    }
    let (first, words) = line.split_at(marks(line));
    let next: String = first.chars().map(|mark| if mark == '>' { '>' } else { ' ' }).collect();
    wrapped.push_str(first);
    let mut at = width(first);
    let mut is_first = true;
    for word in words.split(' ').filter(|word| !word.is_empty()) {
        for (index, piece) in pieces(word).enumerate() {
            let gap = usize::from(!is_first && index == 0);
            if !is_first && at + gap + width(piece) > WIDTH {
                wrapped.push('\n');
                wrapped.push_str(&next);
                at = width(&next);
            } else if gap == 1 {
                wrapped.push(' ');
                at += 1;
            }
            wrapped.push_str(piece);
            at += width(piece);
            is_first = false;
        }
    }
    wrapped.push('\n');
}

/// How long the marks are with which a line begins: those of quotes, and one of a list.
fn marks(line: &str) -> usize {
    let behind = line.trim_start_matches(['>', ' ']);
    let numbered = behind.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let item = match behind.strip_prefix("- ") {
        Some(item) => item,
        None if numbered.len() < behind.len() => numbered.strip_prefix(". ").unwrap_or(behind),
        None => behind,
    };
    // What is nothing but marks is text.
    if line.len() - item.len() < WIDTH / 2 { line.len() - item.len() } else { 0 }
}

/// The word, or the pieces of one that no line can hold and that is no link: languages without blanks have them.
fn pieces(word: &str) -> impl Iterator<Item = &str> {
    let is_whole = width(word) <= WIDTH || word.contains("://") || word.contains('@');
    let mut rest = word;
    std::iter::from_fn(move || {
        let end = if is_whole { None } else { rest.char_indices().nth(WIDTH / 2) };
        let (piece, behind) = rest.split_at(end.map_or(rest.len(), |(at, _)| at));
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    })
}

fn width(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_blanks_under_their_marks() {
        let words = "word ".repeat(20);
        let words = words.trim();
        let cut = |first: usize, more: usize| (["word"; 20][..first].join(" "), ["word"; 20][..more].join(" "));
        for (mark, next, first) in [("", "", 15), ("> ", "> ", 15), ("- ", "  ", 15), ("> 12. ", ">     ", 14)] {
            let (head, tail) = cut(first, 20 - first);
            assert_eq!(lines(&format!("{mark}{words}")), format!("{mark}{head}\n{next}{tail}"));
        }
        assert_eq!(lines("\n\na  \n\n\n\nb   c\n"), "a\n\nb   c");
    }

    #[test]
    fn what_has_no_blanks_breaks_unless_it_is_a_link() {
        assert_eq!(lines(&"x".repeat(100)), format!("{}\n{}", "x".repeat(76), "x".repeat(24)));
        assert_eq!(lines(&"漢".repeat(100)).lines().count(), 2);
        let link = format!("(https://x.y/{})", "x".repeat(100));
        assert_eq!(lines(&link), link);
        assert_eq!(lines(&format!("a {link} b")), format!("a\n{link}\nb"));
        assert_eq!(lines(&"> ".repeat(80)).replace(['>', ' ', '\n'], ""), "");
    }
}
