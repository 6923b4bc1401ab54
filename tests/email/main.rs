//! Emails as somebody else reads them: the published workflows and the traps of email Markdown, assembled, composed,
//! parsed back by another parser, and held against golden files.
//!
//! `UPDATE_GOLDEN=1 cargo test --test email` writes the files anew; look at what changed before keeping it.

#![allow(clippy::unwrap_used)]

mod headers;
mod outlook;
mod right_to_left;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use belfry::base::clock::Timestamp;
use belfry::base::config::Sender;
use belfry::base::ids::MessageId;
use belfry::delivery::Mail;
use belfry::delivery::email::compose;
use belfry::engine::catalog::{Catalog, Published};
use belfry::model::attachment;
use belfry::model::channel::ChannelType;
use belfry::model::library::{Library, LibraryFiles};
use belfry::model::message::EmailContent;
use belfry::model::workflow::{Engine, StepKind, Template};
use belfry::model::workflow_file::WorkflowFiles;
use mail_parser::{MessageParser, MimeHeaders};
use serde_json::{Value, json};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Every file under `folder`, by its path there.
fn files(folder: &Path) -> BTreeMap<String, String> {
    fn collect(folder: &Path, prefix: &str, files: &mut BTreeMap<String, String>) {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            if entry.path().is_dir() {
                collect(&entry.path(), &format!("{name}/"), files);
            } else {
                files.insert(name, std::fs::read_to_string(entry.path()).unwrap());
            }
        }
    }
    let mut files_found = BTreeMap::new();
    collect(folder, "", &mut files_found);
    files_found
}

fn catalog() -> Catalog {
    let email = ["knock-email", "sendgrid", "postmark", "email"].map(|key| (key.to_owned(), ChannelType::Email));
    let feed = ["knock-feed", "in-app-feed"].map(|key| (key.to_owned(), ChannelType::InAppFeed));
    Catalog::new(email.into_iter().chain(feed).collect(), Engine::Liquid)
}

fn published(catalog: &Catalog, key: &str, files: BTreeMap<String, String>) -> Published {
    match catalog.check(&WorkflowFiles { key: key.to_owned(), files }) {
        Ok(checked) => checked.published,
        Err(faults) => panic!("{key}: {faults:?}"),
    }
}

/// The steps that send email.
fn emails(published: &Published) -> Vec<&str> {
    let is_email =
        |kind: &StepKind| matches!(kind, StepKind::Channel(step) if matches!(step.template, Template::Email(_)));
    let steps = published.workflow.steps.iter().filter(|step| is_email(&step.kind));
    steps.map(|step| step.reference.as_str()).collect()
}

fn mail(content: EmailContent, data: &Value) -> Mail {
    let attachments = content.attachment_key.as_ref().map(|key| attachment::read(&data["data"][key]).unwrap());
    Mail {
        message: MessageId::from([7; 16]),
        to: "ada@example.test".into(),
        content,
        attachments: attachments.unwrap_or_default(),
        workflow: "w".into(),
        step_ref: "email_1".into(),
        at: Timestamp::from_millis(1_770_000_000_000),
    }
}

fn bytes(mail: &Mail) -> Vec<u8> {
    let from = Sender { name: Some("Acme".into()), address: "no-reply@acme.test".into() };
    compose(&from, mail).unwrap_or_else(|error| panic!("{error}")).bytes
}

/// Composes the email, reads it back, and holds both parts against golden files.
fn hold(name: &str, content: EmailContent, scope: &Value) {
    let mail = mail(content, scope);
    let bytes = bytes(&mail);
    let parsed = MessageParser::default().parse(&bytes).unwrap();
    assert_eq!(parsed.subject(), Some(mail.content.subject.as_str()), "{name}");
    let html = parsed.body_html(0).unwrap().replace("\r\n", "\n");
    let text = parsed.body_text(0).unwrap().replace("\r\n", "\n");
    assert_eq!(html.trim_end(), mail.content.html.trim_end(), "{name}");
    assert_eq!(text.trim_end(), mail.content.text.trim_end(), "{name}");
    assert!(!html.contains("{%") && !html.contains("{{") && !html.contains("qx0t"), "{name}: {html}");
    for (kind, found) in [("html", &html), ("txt", &text)] {
        let path: PathBuf = [ROOT, "tests/email/golden", &format!("{name}.{kind}")].iter().collect();
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, found).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(*found, golden, "{} differs; see the head of this file", path.display());
    }
}

fn scope() -> Value {
    let activity =
        |title: &str, at: &str| json!({"data": {"alert": {"title": title}}, "event": "e", "inserted_at": at});
    let people = ["Ada Lovelace", "Bo Ek", "Cy Young"].map(|name| json!({"id": name, "name": name}));
    json!({
        "recipient": {"id": "u1", "name": "Ada", "email": "ada@example.test"},
        "actor": people[0], "actors": people, "total_actors": 1, "total_activities": 2,
        "activities": [
            activity("Disk <full>", "2026-02-02T08:05:00Z"),
            activity("CPU & memory", "2026-02-02T14:30:00Z"),
        ],
        "tenant": {"id": "t1", "name": "Tenant", "settings": {"branding": {"primary_color": "#3d5afe"}}},
        "vars": {"app_url": "https://app.example.test", "app_name": "Acme"},
        "workflow": {"key": "w", "commercial": false},
        "timestamp": "2026-02-02T15:00:00Z",
        "page_id": "p/1", "page_name": "Roadmap", "comment_body": "Looks *good* to me", "account_name": "Acme & Co",
        "invite_token": "tok", "invite_token_url": "https://app.example.test/i/tok", "invite_message": "Join us!",
        "data": {
            "digest": {"period": "daily"}, "onboarding_url": "https://app.example.test/start?a=1&b=2",
            "onboarding_step": "billing", "plan_name": "Pro", "trial_end_date": "March 1", "upgrade_url": "https://x.test/up",
        },
    })
}

#[test]
fn the_published_workflows_render_unchanged() {
    let catalog = catalog();
    let root: PathBuf = [ROOT, "tests/fixtures/knock-workflows"].iter().collect();
    let mut seen = 0;
    for entry in std::fs::read_dir(root).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_dir()) {
        let key = entry.file_name().into_string().unwrap();
        let published = published(&catalog, &key, files(&entry.path()));
        for step in emails(&published) {
            let email = published.templates.email(step, scope()).unwrap();
            hold(&format!("{key}.{step}"), email, &scope());
            // With nothing given, there are gaps and no errors.
            published.templates.email(step, json!({"vars": {}})).unwrap();
            seen += 1;
        }
    }
    assert_eq!(seen, 9);
}

/// A workflow of one email with these blocks.
fn of_blocks(blocks: Value, engine: &str) -> BTreeMap<String, String> {
    let template = json!({"subject": "S", "template_engine": engine, "visual_blocks": blocks});
    let step = json!({"ref": "email_1", "type": "channel", "channel_key": "email", "template": template});
    BTreeMap::from([("workflow.json".to_owned(), json!({"name": "W", "steps": [step]}).to_string())])
}

#[test]
fn the_traps_of_email_markdown_render_as_meant() {
    let catalog = catalog();
    let liquid = "{% if total_actors > 1 %}\n  many\n{% else %}\n    **{{ actor.name }}** wrote\n\n    > {{ comment_body }}\n\
        {% endif %}\n\n[{{ total_activities | pluralize: \"comment\", \"comments\" }}]({{ vars.app_url }}/p?n={{ total_activities | plus: 1 }}&t=\"x\")\n\n\
        <a href=\"{{ vars.app_url }}/{{ total_activities | pluralize: \"one\", \"many\" }}\">attribute</a>\n\n\
        Missing: [{{ no.such.name }}]\n\n{% for item in nothing %}\n- {{ item }}\n{% else %}\nNothing here.\n{% endfor %}\n\n\
        {% for one in actors %}\n- {{ one.name | upcase }}\n{% endfor %}";
    let handlebars = "{{#if (gt total_actors 1)}}\n  many\n{{else}}\n    **{{actor.name}}** wrote\n\n    > {{comment_body}}\n{{/if}}\n\n\
        [{{pluralize total_activities \"comment\" \"comments\"}}]({{vars.app_url}}/p?n={{plus total_activities 1}}&t=\"x\")\n\n\
        <a href=\"{{vars.app_url}}/{{pluralize total_activities \"one\" \"many\"}}\">attribute</a>\n\n\
        Missing: [{{no.such.name}}]\n\n{{#each nothing}}\n- {{this}}\n{{else}}\nNothing here.\n{{/each}}\n\n\
        {{#each actors}}\n- {{upcase name}}\n{{/each}}";
    let encoded = ["{{ account_name | url_encode }}", "{{url_encode account_name}}"];
    let plural =
        ["{{ total_activities | pluralize: \"it\", \"them\" }}", "{{pluralize total_activities \"it\" \"them\"}}"];
    for (engine, markdown, encoded, plural) in
        [("liquid", liquid, encoded[0], plural[0]), ("handlebars", handlebars, encoded[1], plural[1])]
    {
        let action = format!("{{{{ vars.app_url }}}}/?a=1&b={encoded}");
        let blocks = json!([
            {"type": "markdown", "content": markdown},
            {"type": "button_set", "buttons": [
                {"label": "Tom & \"Jerry\"", "action": action},
                {"label": plural, "action": "/x", "variant": "outline"},
            ]},
            {"type": "divider"},
            {"type": "image", "url": "https://x.test/a.png", "alt": "A \"picture\"", "style_attrs": {"width": "50%"}},
            {"type": "row", "columns": [[{"type": "html", "content": "<b>left</b>"}], [{"type": "markdown", "content": "*right*"}]]},
        ]);
        let published = published(&catalog, "traps", of_blocks(blocks, engine));
        hold(&format!("traps.{engine}"), published.templates.email("email_1", scope()).unwrap(), &scope());
    }
}

#[test]
fn a_fault_in_a_block_names_the_authors_line() {
    let catalog = catalog();
    let blocks = json!([
        {"type": "markdown", "content": "Hi"},
        {"type": "markdown", "content": "# A\n\n  {{ name | upcas }}"},
    ]);
    let files = of_blocks(blocks, "liquid");
    let faults = catalog.check(&WorkflowFiles { key: "w".into(), files }).err().unwrap();
    let expected = "w/workflow.json steps[0].template.visual_blocks[1].content: line 3, column 13: there is no filter `upcas`. \
                    Did you mean `upcase`?";
    assert!(faults[0].to_string().starts_with(expected), "{}", faults[0]);
    let blocks = json!([
        {"type": "markdown", "content": "{% for a in b %}\n- {{ a }}\n{% endif %}"},
        {"type": "html", "content": "{{ name }}"},
    ]);
    let faults = catalog.check(&WorkflowFiles { key: "w".into(), files: of_blocks(blocks, "liquid") }).err().unwrap();
    let expected = "[0].content: line 3, column 4: `{% endif %}` stands inside the `{% for %}` of line 1.";
    assert!(faults[0].to_string().contains(expected), "{}", faults[0]);
    for engine in ["liquid", "handlebars"] {
        let blocks = json!([
            {"type": "markdown", "content": "Hi\n\n{{ name"},
            {"type": "button_set", "buttons": [{"label": "{{ name }", "action": "/{{ name }}"}]},
            {"type": "html", "content": "{{ name }} {{ \"name }}"},
        ]);
        let files = of_blocks(blocks, engine);
        let faults = catalog.check(&WorkflowFiles { key: "w".into(), files }).err().unwrap();
        let found: Vec<String> = faults.iter().map(|fault| format!("{}: {}", fault.path, fault.problem)).collect();
        let blocks = "steps[0].template.visual_blocks";
        let expected = [
            format!("{blocks}[0].content: line 3, column 1: `{{{{` is never closed"),
            format!("{blocks}[1].buttons[0].label: line 1, column 1: `{{{{` is never closed"),
            format!("{blocks}[2].content: line 1, column 12: `{{{{` is never closed"),
        ];
        assert_eq!(found, expected, "{engine}");
    }
    let blocks = json!([{"type": "html", "content": "a\n{{ 1 | divided_by: none }}"}]);
    let published = published(&catalog, "w", of_blocks(blocks, "liquid"));
    let error = published.templates.email("email_1", scope()).unwrap_err().to_string();
    assert!(
        error.starts_with("w/workflow.json steps[0].template.visual_blocks[0].content line 2, column 8: `divided_by`"),
        "{error}"
    );
}

/// A workflow, a layout and a partial with a file for each text, and `text` in the one called `at`.
fn of_files(at: &str, text: &str) -> (WorkflowFiles, LibraryFiles) {
    let workflow = json!({"name": "W", "steps": [
        {"ref": "email_1", "type": "channel", "channel_key": "email", "template": {
            "subject@": "email_1/subject.txt", "visual_blocks@": "email_1/visual_blocks.json",
            "text_body@": "email_1/text_body.txt",
            "settings": {"layout_key": "own", "pre_content@": "email_1/pre_content.html"}}},
        {"ref": "item_1", "type": "channel", "channel_key": "in-app-feed",
         "template": {"markdown_body@": "item_1/markdown_body.md", "action_url": "/"}},
        {"ref": "fetch_1", "type": "http_fetch",
         "settings": {"method": "post", "url": "https://x.test", "body@": "fetch_1/body.json"}},
    ]});
    let blocks = json!([{"type": "markdown", "content@": "visual_blocks/1.content.md"}]);
    let layout = json!({"name": "Own", "html_layout@": "html_layout.html", "text_layout@": "text_layout.txt"});
    let card = json!({"type": "html", "content@": "content.html"});
    let (workflow, blocks) = (workflow.to_string(), blocks.to_string());
    let put = |key: &str, (name, content): &(&str, &str)| {
        let content = if at == format!("{key}/{name}") { text } else { content };
        ((*name).to_owned(), content.to_owned())
    };
    let directory = |key: &str, files: &[(&str, &str)]| WorkflowFiles {
        key: key.rsplit('/').next().unwrap().to_owned(),
        files: files.iter().map(|file| put(key, file)).collect(),
    };
    let files = directory(
        "w",
        &[
            ("workflow.json", &workflow),
            ("email_1/subject.txt", "Hi"),
            ("email_1/visual_blocks.json", &blocks),
            ("email_1/visual_blocks/1.content.md", "{% render 'card' %}"),
            ("email_1/text_body.txt", "Hi"),
            ("email_1/pre_content.html", "<!-- a -->"),
            ("item_1/markdown_body.md", "Hi"),
            ("fetch_1/body.json", "{}"),
        ],
    );
    let layout = [
        ("layout.json", &*layout.to_string()),
        ("html_layout.html", "{{ content }}"),
        ("text_layout.txt", "{{ content }}"),
    ];
    let library = LibraryFiles {
        layouts: vec![directory("layouts/own", &layout)],
        partials: vec![directory("partials/card", &[("partial.json", &card.to_string()), ("content.html", "Hi")])],
        ..LibraryFiles::default()
    };
    (files, library)
}

/// Each file of `of_files` with the step whose rendering reads it.
const TEXTS: [(&str, &str); 9] = [
    ("w/email_1/subject.txt", "email_1"),
    ("w/email_1/visual_blocks/1.content.md", "email_1"),
    ("w/email_1/text_body.txt", "email_1"),
    ("w/email_1/pre_content.html", "email_1"),
    ("w/item_1/markdown_body.md", "item_1"),
    ("w/fetch_1/body.json", "fetch_1"),
    ("layouts/own/html_layout.html", "email_1"),
    ("layouts/own/text_layout.txt", "email_1"),
    ("partials/card/content.html", "email_1"),
];

#[test]
fn a_fault_and_a_failed_rendering_name_the_file_in_which_the_text_was_written() {
    for (file, step) in TEXTS {
        let check = |text: &str| {
            let (files, library) = of_files(file, text);
            let mut catalog = catalog();
            let (library, _, faults) = Library::read(&library);
            assert_eq!(faults, [], "{file}");
            let mut faults = catalog.furnish(library);
            let checked = catalog.check(&files).map_err(|found| faults.extend(found));
            let published = checked.ok().map(|checked| checked.published);
            (published, faults.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let (_, faults) = check("{{ content }}\n  {{ name | upcas }}");
        let expected = format!("{file}: line 2, column 13: there is no filter `upcas`. Did you mean `upcase`?");
        assert!(faults.iter().any(|fault| fault.starts_with(&expected)), "{faults:?}");
        let (published, faults) = check("{{ content }}\n  {{ 1 | divided_by: recipient.none }}");
        assert_eq!(faults, [] as [String; 0]);
        let templates = published.unwrap().templates;
        let error = match step {
            "email_1" => templates.email(step, scope()).unwrap_err(),
            "item_1" => templates.in_app(step, scope()).unwrap_err(),
            _ => templates.settings(step, &scope()).unwrap_err(),
        };
        assert!(error.to_string().starts_with(&format!("{file} line 2, column 10: `divided_by`")), "{error}");
    }
}

#[test]
fn partials_and_layouts_of_one_s_own_work_in_both_languages() {
    let directory = |key: &str, files: &[(&str, &str)]| WorkflowFiles {
        key: key.to_owned(),
        files: files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect(),
    };
    let layout = r#"{"name": "Own", "html_layout": "<html><head><style>p { color: red }</style></head><body>{{ shown }}|{{ content }}|{{ shown }}</body></html>", "text_layout": "{{ content }}--"}"#;
    let card = r#"{"type": "markdown", "content": "**{{ title }}** {% if big %}big{% endif %}{{ recipient.name }}",
        "input_schema": [{"type": "boolean", "key": "big"}]}"#;
    let library = LibraryFiles {
        layouts: vec![directory("own", &[("layout.json", layout)])],
        partials: vec![directory("card", &[("partial.json", card)])],
        ..LibraryFiles::default()
    };
    let mut catalog = catalog();
    let (library, _, faults) = Library::read(&library);
    assert!(faults.is_empty() && catalog.furnish(library).is_empty());
    for (engine, html) in [
        ("liquid", "{% assign shown = 'x' %}{% render 'card', title: recipient.name, big: false %}"),
        ("handlebars", "{{> card title=recipient.name big=false}}"),
    ] {
        let blocks = json!([
            {"type": "html", "content": html},
            {"type": "partial", "key": "card", "name": "Card", "attrs": {"title": "For {{recipient.name}}", "big": true}},
        ]);
        let mut files = of_blocks(blocks, engine);
        let document =
            files["workflow.json"].replace("\"subject\"", "\"settings\":{\"layout_key\":\"own\"},\"subject\"");
        files.insert("workflow.json".into(), document);
        let published = published(&catalog, "w", files);
        let email = published.templates.email("email_1", scope()).unwrap();
        assert!(email.html.contains("<strong>Ada</strong> </p>"), "{engine}: {}", email.html);
        assert!(email.html.contains("<strong>For Ada</strong> big</p>"), "{engine}: {}", email.html);
        assert!(email.html.contains("<p style=\"color: red;\">"), "{engine}: {}", email.html);
        // What a body in Liquid assigns is known below it and not above.
        assert_eq!(email.html.contains("|x</body>"), engine == "liquid", "{}", email.html);
        assert!(email.html.contains("<body>|"), "{}", email.html);
        assert!(email.text.ends_with("--"), "{}", email.text);
    }
}

#[test]
fn a_list_that_a_partial_does_not_declare_can_be_looped_over() {
    let content =
        "{% for one in rows %}[{{ one.name }}]{% endfor %}{% for one in notes %}({{ one }}){% endfor %}{{ on }}";
    let schema = r#"[{"type": "text", "key": "notes"}]"#;
    let partial = format!(r#"{{"type": "html", "content": "{content}", "input_schema": {schema}}}"#);
    let files = BTreeMap::from([("partial.json".to_owned(), partial)]);
    let library =
        LibraryFiles { partials: vec![WorkflowFiles { key: "rows".into(), files }], ..LibraryFiles::default() };
    let mut catalog = catalog();
    let (library, _, faults) = Library::read(&library);
    assert!(faults.is_empty() && catalog.furnish(library).is_empty());
    let html = "{% render 'rows', rows: activities, notes: data.notes, on: false %}";
    let published = published(&catalog, "w", of_blocks(json!([{"type": "html", "content": html}]), "liquid"));
    let scope = json!({"activities": [{"name": "A"}, {"name": "B"}], "data": {"notes": ["x", "y"]}});
    let email = published.templates.email("email_1", scope).unwrap();
    assert!(email.html.contains("[A][B](xy)false"), "what is declared as text is text: {}", email.html);
}

#[test]
fn a_mail_with_everything_is_read_back_part_by_part() {
    let catalog = catalog();
    let template = json!({"subject": "Grüße {{ recipient.name }}\nBcc: evil@x.test", "html_body": "<p>ü <img src=\"cid:logo\"></p>",
        "text_body": "ü text", "settings": {"layout_key": null, "attachment_key": "files"}});
    let overrides = json!({
        "from_address": "{{ data.from }}", "from_name": "Team, {{ data.team }}", "cc_address": "c1@x.test, Cé <c2@x.test>",
        "bcc_address": "b@x.test", "reply_to_address": "r@x.test",
        "json_overrides": "{\"headers\": {\"X-Tag\": {{ data.team | json }}}}",
    });
    let step = json!({"ref": "email_1", "type": "channel", "channel_key": "email", "template": template, "channel_overrides": overrides});
    let files = BTreeMap::from([("workflow.json".to_owned(), json!({"name": "W", "steps": [step]}).to_string())]);
    let published = published(&catalog, "w", files);
    let scope = json!({"recipient": {"name": "Ada"}, "vars": {}, "data": {"from": "team@acme.test", "team": "Ops\r\nX-Evil: 1", "files": [
        {"name": "räport.pdf", "content_type": "application/pdf", "content": "JVBERg=="},
        {"name": "logo.png", "content_type": "image/png", "content": "iVBORw==", "content_id": "logo"},
    ]}});
    let content = published.templates.email("email_1", scope.clone()).unwrap();
    let bytes = bytes(&mail(content, &scope));
    let parsed = MessageParser::default().parse(&bytes).unwrap();
    assert_eq!(parsed.subject(), Some("Grüße Ada Bcc: evil@x.test"));
    let addresses = |list: Option<&mail_parser::Address>| -> Vec<(String, String)> {
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        list.into_iter().flat_map(|list| list.iter()).map(|one| (text(one.name()), text(one.address()))).collect()
    };
    let pair = |name: &str, address: &str| (name.to_owned(), address.to_owned());
    assert_eq!(addresses(parsed.from()), [pair("Team, Ops X-Evil: 1", "team@acme.test")]);
    assert_eq!(addresses(parsed.to()), [pair("", "ada@example.test")]);
    assert_eq!(addresses(parsed.cc()), [pair("", "c1@x.test"), pair("Cé", "c2@x.test")]);
    assert_eq!(addresses(parsed.bcc()), []);
    assert_eq!(addresses(parsed.reply_to()), [pair("", "r@x.test")]);
    assert_eq!(parsed.header_raw("X-Tag").map(str::trim), Some("Ops X-Evil: 1"));
    assert_eq!(parsed.header_raw("X-Evil"), None);
    assert_eq!(parsed.body_text(0).unwrap().trim_end(), "ü text");
    assert!(parsed.body_html(0).unwrap().starts_with("<p>ü <img src=\"cid:logo\"></p>"));
    let files: Vec<_> = parsed.attachments().collect();
    let names: Vec<_> =
        files.iter().map(|file| (file.attachment_name().unwrap_or_default(), file.contents().to_vec())).collect();
    assert!(names.contains(&("räport.pdf", b"%PDF".to_vec())), "{names:?}");
    assert!(files.iter().any(|file| file.content_id() == Some("logo") && file.contents() == b"\x89PNG"), "{names:?}");
}

#[test]
fn a_rendering_that_fails_in_an_mjml_layout_names_the_layout_and_its_fault_is_found_before() {
    let layout = json!({"name": "M", "is_mjml": true,
        "html_layout": "<mjml>\n<mj-body><mj-sektion></mj-body>{{ content }}</mjml>"});
    let files = BTreeMap::from([("layout.json".to_owned(), layout.to_string())]);
    let files = LibraryFiles { layouts: vec![WorkflowFiles { key: "m".into(), files }], ..LibraryFiles::default() };
    let mut catalog = catalog();
    let faults: Vec<String> = catalog.furnish(Library::read(&files).0).iter().map(ToString::to_string).collect();
    let place = "layouts/m/layout.json html_layout: line 2, column 10";
    assert!(
        faults[0].starts_with(&format!("{place}: MJML has no element `<mj-sektion>`. Did you mean \"mj-section\"?"))
    );
    assert!(faults[1].starts_with(&format!("{place}: `<mj-sektion>` is not closed before `</mj-body>`")), "{faults:?}");
    let template = json!({"subject": "S", "html_body": "Hi", "settings": {"layout_key": "m"}});
    let step = json!({"ref": "email_1", "type": "channel", "channel_key": "email", "template": template});
    let files = BTreeMap::from([("workflow.json".to_owned(), json!({"name": "W", "steps": [step]}).to_string())]);
    let error = published(&catalog, "w", files).templates.email("email_1", scope()).unwrap_err().to_string();
    assert!(error.starts_with("layouts/m/layout.json html_layout: the MJML cannot be compiled"), "{error}");
}

#[test]
fn mjml_layouts_take_bodies_of_html_and_templates_may_be_mjml_themselves() {
    let layout = r#"{"name": "M", "is_mjml": true, "html_layout": "<mjml><mj-body><mj-section><mj-column>{{ content }}</mj-column></mj-section></mj-body></mjml>", "text_layout": "{{ content }}"}"#;
    let files = BTreeMap::from([("layout.json".to_owned(), layout.to_owned())]);
    let mut catalog = catalog();
    let files = LibraryFiles { layouts: vec![WorkflowFiles { key: "m".into(), files }], ..LibraryFiles::default() };
    assert!(catalog.furnish(Library::read(&files).0).is_empty());
    let email = |html: &str, is_mjml: bool, layout: Value| {
        let template =
            json!({"subject": "S", "html_body": html, "is_mjml": is_mjml, "settings": {"layout_key": layout}});
        let step = json!({"ref": "email_1", "type": "channel", "channel_key": "email", "template": template});
        let files = BTreeMap::from([("workflow.json".to_owned(), json!({"name": "W", "steps": [step]}).to_string())]);
        published(&catalog, "w", files).templates.email("email_1", scope()).unwrap()
    };
    let of_html = email("<p>Hi <b>{{ recipient.name }}</b><br>you</p>", false, json!("m"));
    assert!(of_html.html.contains("<b>Ada</b><br>you</p>") && !of_html.html.contains("<mj-"), "{}", of_html.html);
    assert_eq!(of_html.text.trim_end(), "Hi Ada\nyou");
    let own = "<mjml><mj-body><mj-section><mj-column><mj-text>Hi {{ recipient.name }}</mj-text></mj-column></mj-section></mj-body></mjml>";
    let own = email(own, true, json!(null));
    assert!(own.html.contains("Hi Ada") && !own.html.contains("<mj-"), "{}", own.html);
    assert!(own.text.contains("Hi Ada"), "{}", own.text);
}
