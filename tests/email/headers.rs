//! Headers of any script and length, and lines of any end, read back by another's parser.

use belfry::delivery::Mail;
use belfry::model::attachment;
use belfry::model::message::{Addressing, EmailContent};
use mail_parser::{Address, MessageParser, MimeHeaders};
use serde_json::{Value, json};

use super::bytes;

fn mail(to: &str, subject: &str, addressing: Addressing) -> Mail {
    let content = EmailContent {
        subject: subject.into(),
        html: "<p>Hi</p>".into(),
        text: "Hi".into(),
        addressing: Box::new(addressing),
        ..EmailContent::default()
    };
    Mail { to: to.into(), ..super::mail(content, &Value::Null) }
}

/// RFC 5322, section 2.1.1: no line is longer, however long a word is.
fn assert_lines_fit(bytes: &[u8]) {
    for line in bytes.split(|byte| *byte == b'\n') {
        assert!(line.len() <= 999, "{} bytes: {}", line.len(), String::from_utf8_lossy(line));
    }
}

/// RFC 5321, section 2.3.8: CR and LF stand together, at the ends of lines.
fn assert_lines_end(bytes: &[u8]) {
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r\n").unwrap();
        assert!(!line.contains(&b'\r'), "{:?}", String::from_utf8_lossy(line));
    }
}

fn read(list: Option<&Address<'_>>) -> Vec<(String, String)> {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    list.into_iter().flat_map(|list| list.iter()).map(|one| (text(one.name()), text(one.address()))).collect()
}

#[test]
fn a_subject_of_any_script_and_length_arrives_as_it_was() {
    let family = "👩‍👩‍👧‍👦";
    for subject in [
        "Grüße aus Zürich".to_owned(),
        format!("{family} {}", "🎉".repeat(80)),
        "مرحبا بالعالم ".repeat(20).trim().to_owned(),
        "日本語の件名".repeat(40),
        "word ".repeat(200).trim().to_owned(),
        "x".repeat(3_000),
        format!("{} {}", "x".repeat(990), "y".repeat(990)),
        "=?utf-8?q?not_encoded?= by us".to_owned(),
        "a \u{301}\u{200d}\u{feff} combining".to_owned(),
    ] {
        let bytes = bytes(&mail("ann@x.test", &subject, Addressing::default()));
        assert_lines_fit(&bytes);
        let head = bytes.split(|byte| *byte == b'\n').take_while(|line| *line != b"\r").flatten();
        assert!(head.copied().all(|byte| byte.is_ascii()), "{subject}");
        let parsed = MessageParser::default().parse(&bytes).unwrap();
        assert_eq!(parsed.subject(), Some(subject.as_str()));
        assert_eq!(parsed.body_text(0).unwrap().trim_end(), "Hi", "{subject}");
    }
}

#[test]
fn addresses_of_any_kind_arrive_as_they_were_and_no_name_makes_another() {
    for (to, expected) in [
        ("ann@bücher.test", "ann@xn--bcher-kva.test"),
        ("ann@例え.テスト", "ann@xn--r8jz45g.xn--zckzah"),
        ("jürgen@x.test", "jürgen@x.test"),
        ("o'brien+tag=1@x.test", "o'brien+tag=1@x.test"),
    ] {
        let bytes = bytes(&mail(to, "Hi", Addressing::default()));
        let parsed = MessageParser::default().parse(&bytes).unwrap();
        let [(name, address)]: [(String, String); 1] = read(parsed.to()).try_into().unwrap();
        assert_eq!((name.as_str(), address.as_str()), ("", expected), "{to}");
    }
    // The parser takes quotes off, and then does not know what is before the @.
    let quoted = bytes(&mail("\"ann bee\"@x.test", "Hi", Addressing::default()));
    assert!(String::from_utf8(quoted).unwrap().contains("\r\nTo: \"ann bee\"@x.test\r\n"));
    for name in [
        "Zoë 🎈",
        "Bee, Ann",
        "Ann \"the\" Bee",
        "a@b.test",
        "Ann <evil@x.test>",
        "(comment) Ann",
        "Ann; Bob: x",
        "=?utf-8?q?x?=",
    ] {
        let addressing = Addressing {
            from_name: Some(name.into()),
            from_address: Some("team@acme.test".into()),
            cc: vec![format!("{} <cc@x.test>", "Ünder Score ".repeat(30))],
            ..Addressing::default()
        };
        let bytes = bytes(&mail("ann@x.test", "Hi", addressing));
        assert_lines_fit(&bytes);
        let parsed = MessageParser::default().parse(&bytes).unwrap();
        assert_eq!(read(parsed.from()), [(name.to_owned(), "team@acme.test".to_owned())]);
        assert_eq!(read(parsed.cc())[0].1, "cc@x.test");
    }
}

#[test]
fn lines_of_a_body_end_with_crlf_whatever_they_were_written_with() {
    let mut mail = mail("ann@x.test", "Hi", Addressing::default());
    mail.content.text = "a\rb\r\nc\nd\r.\re\n\rf".into();
    mail.content.html = "<p>a\r.\r\n.</p>".into();
    let bytes = bytes(&mail);
    assert_lines_end(&bytes);
    let parsed = MessageParser::default().parse(&bytes).unwrap();
    assert_eq!(parsed.body_text(0).unwrap().trim_end(), "a\r\nb\r\nc\r\nd\r\n.\r\ne\r\n\r\nf");
    assert_eq!(parsed.body_html(0).unwrap().trim_end(), "<p>a\r\n.\r\n.</p>");
}

/// Many servers refuse a mail with a NUL, and none shows anything for the others.
#[test]
fn a_body_arrives_without_control_characters() {
    let mut mail = mail("ann@x.test", "Hi", Addressing::default());
    mail.content.text = "a\0b\tc\u{1b}[31m\u{7f}é".into();
    mail.content.html = "<p>a\0\u{8}b</p>".into();
    let bytes = bytes(&mail);
    let parsed = MessageParser::default().parse(&bytes).unwrap();
    assert_eq!(parsed.body_text(0).unwrap().trim_end(), "ab\tc[31mé");
    assert_eq!(parsed.body_html(0).unwrap().trim_end(), "<p>ab</p>");
}

#[test]
fn an_attached_text_arrives_byte_for_byte_and_ends_no_message() {
    let mut mail = mail("ann@x.test", "Hi", Addressing::default());
    // "a\nb\r.\rc\n.\nMAIL FROM:<x@y.z>\0\n"
    let content = "YQpiDS4NYwouCk1BSUwgRlJPTTo8eEB5Lno+AAo=";
    let file = json!([{"name": "a.csv", "content_type": "text/csv", "content": content}]);
    mail.attachments = attachment::read(&file).unwrap();
    let bytes = bytes(&mail);
    assert_lines_end(&bytes);
    let parsed = MessageParser::default().parse(&bytes).unwrap();
    let part = parsed.attachments().next().unwrap();
    assert_eq!((part.attachment_name(), part.contents()), (Some("a.csv"), mail.attachments[0].content.as_slice()));
}
