//! PO files, in which gettext and most tools of translators keep texts.

/// A translated text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    pub key: String,
    pub text: String,
    /// The line of its `msgstr`, from 1.
    pub line: usize,
}

/// What is said, and what no number chooses.
type Found = (Vec<Text>, Vec<Text>);

/// One entry while it is read.
#[derive(Default)]
struct Entry {
    id: String,
    /// `msgstr`, or the first and last of `msgstr[n]`: the forms for one and for others; each with its line.
    texts: Vec<(Form, String, usize)>,
    is_fuzzy: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Form {
    Only,
    Number(usize),
}

/// Which text the quoted lines that follow go on with.
enum Field {
    Id,
    Text,
    /// `msgctxt` and `msgid_plural`, which say nothing that is needed here.
    Other,
}

/// The translated texts of a file by their `msgid`: plural forms as `<msgid>.one` and `<msgid>.other`; beside them the
/// forms between these, which no number chooses, by their `msgid` alone. What is not translated, or marked as uncertain, is
/// left out. The error is the line and what is wrong there.
pub fn read(text: &str) -> Result<Found, (usize, String)> {
    let (mut found, mut entry, mut field) = (Found::default(), Entry::default(), Field::Other);
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let fault = |problem: &str| (number + 1, problem.to_owned());
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            if !entry.texts.is_empty() {
                std::mem::take(&mut entry).add_to(&mut found);
            }
            entry.is_fuzzy |= line.starts_with("#,") && line.contains("fuzzy");
            continue;
        }
        let (keyword, quoted) = line.split_at(line.find('"').ok_or_else(|| fault("a text in quotes is missing"))?);
        let quoted = unquote(quoted).ok_or_else(|| fault("a text is not closed"))?;
        let keyword = keyword.trim();
        match keyword {
            "" => match field {
                Field::Id => entry.id.push_str(&quoted),
                Field::Text => entry.texts.iter_mut().rev().take(1).for_each(|(_, text, _)| text.push_str(&quoted)),
                Field::Other => {}
            },
            "msgid" => {
                if !entry.texts.is_empty() {
                    std::mem::take(&mut entry).add_to(&mut found);
                }
                (entry.id, field) = (quoted, Field::Id);
            }
            "msgctxt" | "msgid_plural" => field = Field::Other,
            "msgstr" => {
                entry.texts.push((Form::Only, quoted, number + 1));
                field = Field::Text;
            }
            _ => {
                let form = keyword.strip_prefix("msgstr[").and_then(|rest| rest.strip_suffix(']'));
                let form =
                    form.and_then(|form| form.trim().parse().ok()).ok_or_else(|| fault("the keyword is unknown"))?;
                entry.texts.push((Form::Number(form), quoted, number + 1));
                field = Field::Text;
            }
        }
    }
    entry.add_to(&mut found);
    Ok(found)
}

impl Entry {
    fn add_to(self, (said, unsaid): &mut Found) {
        // The entry without an id is the file's header.
        if self.id.is_empty() || self.is_fuzzy {
            return;
        }
        let last = self.texts.len().saturating_sub(1);
        for (index, (form, text, line)) in
            self.texts.into_iter().enumerate().filter(|(_, (_, text, _))| !text.is_empty())
        {
            let (list, key) = match form {
                Form::Only => (&mut *said, self.id.clone()),
                // A language with one form has no other for one thing.
                Form::Number(_) if index == last => (&mut *said, format!("{}.other", self.id)),
                Form::Number(0) => (&mut *said, format!("{}.one", self.id)),
                Form::Number(_) => (&mut *unsaid, self.id.clone()),
            };
            list.push(Text { key, text, line });
        }
    }
}

fn unquote(quoted: &str) -> Option<String> {
    let inside = quoted.strip_prefix('"')?.strip_suffix('"')?;
    let mut text = String::new();
    let mut letters = inside.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => return None,
            '\\' => text.push(match letters.next()? {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                other => other,
            }),
            letter => text.push(letter),
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn texts_go_over_lines_and_have_plural_forms() {
        let file = r#"
msgid ""
msgstr "Language: de\n"

# A note.
msgctxt "invite"
msgid "Hello "
"{{ name }}"
msgstr "Hallo "
"{{ name }}\n"
msgid "untranslated"
msgstr ""

#, fuzzy
msgid "uncertain"
msgstr "x"

msgid "item"
msgid_plural "items"
msgstr[0] "Ding"
msgstr[1] "\"Dinge\""
#~ msgid "gone"
"#;
        let (found, unsaid) = read(file).unwrap();
        assert_eq!(unsaid, []);
        let expected =
            [("Hello {{ name }}", "Hallo {{ name }}\n", 9), ("item.one", "Ding", 20), ("item.other", "\"Dinge\"", 21)];
        assert_eq!(found, expected.map(|(key, text, line)| Text { key: key.to_owned(), text: text.to_owned(), line }));
    }

    #[test]
    fn forms_between_the_first_and_the_last_are_told_apart_unless_they_are_empty() {
        let file =
            "msgid \"plik\"\nmsgid_plural \"pliki\"\nmsgstr[0] \"1\"\nmsgstr[1] \"2\"\nmsgstr[2] \"\"\nmsgstr[3] \"5\"";
        let text = |key: &str, text: &str, line| Text { key: key.to_owned(), text: text.to_owned(), line };
        let (found, unsaid) = read(file).unwrap();
        assert_eq!(found, [text("plik.one", "1", 3), text("plik.other", "5", 6)]);
        assert_eq!(unsaid, [text("plik", "2", 4)]);
    }

    #[test]
    fn what_is_wrong_is_named_by_its_line() {
        assert_eq!(read("\nmsgid x").unwrap_err(), (2, "a text in quotes is missing".into()));
        assert_eq!(read("msgid \"x\\\"").unwrap_err().1, "a text is not closed");
        assert_eq!(read("msgx \"x\"").unwrap_err().1, "the keyword is unknown");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "(msgid|msgstr|msgstr\\[[0-9]\\]|#,|\"|\\\\|\n|é| |x){0,40}") {
            let _ = read(&text);
        }

        #[test]
        fn what_is_quoted_comes_back(id in "[^\\p{C}]{1,20}", text in "[^\\p{C}]{1,20}") {
            let quote = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
            let file = format!("msgid \"{}\"\nmsgstr \"{}\"\n", quote(&id), quote(&text));
            prop_assert_eq!(read(&file).unwrap().0, [Text { key: id, text, line: 2 }]);
        }
    }
}
