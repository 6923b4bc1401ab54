//! What the floor promises as a whole.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::budget::{EMAIL_BYTES, FEED_BYTES, Limit};
use super::*;
use crate::model::condition::Conditions;
use crate::model::library::Library;
use crate::model::workflow::{
    ActionButton, ChannelStep, EmailTemplate, Engine, Frequency, InAppTemplate, Onward, Settings, Step,
};

fn workflow(templates: Vec<Template>) -> Workflow {
    let step = |(index, template): (usize, _)| Step {
        reference: format!("step_{}", index + 1),
        name: None,
        conditions: Conditions::default(),
        kind: StepKind::Channel(ChannelStep {
            channel_key: "channel".into(),
            send_windows: None,
            engine: None,
            template,
            tracking: Default::default(),
        }),
        next: Onward::to(index + 1),
        path: format!("steps[{index}]"),
    };
    Workflow {
        key: "account-invite".into(),
        name: "Account invite".into(),
        categories: Vec::new(),
        settings: Settings::default(),
        steps: templates.into_iter().enumerate().map(step).collect(),
        frequency: Frequency::default(),
        conditions: Conditions::default(),
        source: Value::Null,
        files: Default::default(),
    }
}

fn email(subject: &str, html: &str, text: Option<&str>) -> EmailTemplate {
    EmailTemplate { text_body: text.map(str::to_owned), ..EmailTemplate::plain(subject, html) }
}

fn in_app(body: &str) -> InAppTemplate {
    InAppTemplate { markdown_body: body.into(), action_url: None, action_buttons: Vec::new() }
}

fn compiled(workflow: Workflow) -> Result<Compiled, Vec<Fault>> {
    Compiled::new(&workflow, &Parts::new(&Library::default()).0)
}

fn faults(templates: Vec<Template>) -> Vec<String> {
    compiled(workflow(templates)).unwrap_err().iter().map(ToString::to_string).collect()
}

/// Renders `template` as an email's text.
fn text(template: &str, scope: &Value) -> Result<String, RenderError> {
    let compiled = compiled(workflow(vec![Template::Email(email("", "", Some(template)))])).unwrap();
    compiled.email("step_1", scope.clone()).map(|email| email.text)
}

fn feed(template: InAppTemplate, scope: &Value) -> Result<Vec<Block>, RenderError> {
    compiled(workflow(vec![Template::InAppFeed(template)])).unwrap().in_app("step_1", scope.clone())
}

#[test]
fn an_invite_is_rendered_in_the_default_layout_as_html_and_text() {
    let mut invite = email(
        "{{actor.name}} invited you to {{project}}",
        "<h1>Join {{project}}</h1>\n<p>Hi {{first (split recipient.name \" \")}}, {{actor.name}} invited you.</p>\n\
         <p><a class=\"button\" href=\"{{vars.app_url}}/invite?t={{token}}&s=1\">Accept</a></p>",
        None,
    );
    invite.layout = Some("default".into());
    let compiled = compiled(workflow(vec![Template::Email(invite)])).unwrap();
    let scope = json!({
        "recipient": {"id": "u1", "name": "Bob O'Neil"},
        "actor": {"name": "Ann & Co"},
        "project": "Apollo",
        "token": "a=b",
        "vars": {"app_url": "https://app.example", "app_name": "Acme <Inc>"},
    });
    let rendered = compiled.email("step_1", scope.clone()).unwrap();
    assert_eq!(rendered.subject, "Ann & Co invited you to Apollo");
    assert!(rendered.html.starts_with("<!DOCTYPE html><html lang=\"en\""), "{}", rendered.html);
    for part in [
        ">Join Apollo</h1>",
        ">Hi Bob, Ann &amp; Co invited you.</p>",
        "<a class=\"button\" href=\"https://app.example/invite?t=a=b&amp;s=1\" style=\"",
    ] {
        assert!(rendered.html.contains(part), "{part} in {}", rendered.html);
    }
    assert!(rendered.html.contains("<title>Ann &amp; Co invited you to Apollo</title>"));
    assert!(rendered.html.contains("Sent by Acme &lt;Inc&gt;</div>"));
    assert!(!rendered.html.contains("{{"));
    assert_eq!(
        rendered.text,
        "Join Apollo\n\nHi Bob, Ann & Co invited you.\n\nAccept (https://app.example/invite?t=a=b&s=1)\n\n\
         -- \nAcme <Inc>\n"
    );
}

#[test]
fn a_workflow_in_liquid_is_an_email_and_a_feed_item_and_a_template_may_be_in_the_other_language() {
    let mut invite = email(
        "{{ actor.name | split: \" \" | first }} invited you\n to {{ project }}",
        "{% assign preview_text = \"Join \" | append: project %}<p>{{ message }}</p>\n<p>{{ message | escape }}</p>",
        None,
    );
    invite.layout = Some("default".into());
    let item = InAppTemplate {
        action_url: Some("/p/{{ project | downcase | url_encode }}".into()),
        action_buttons: vec![ActionButton {
            label: "{{ n | pluralize: 'a', 'b' }}".into(),
            action: "{{ url }}".into(),
        }],
        ..in_app("{% if n > 1 %}\n  > {{ message }}\n{% endif %}")
    };
    let other = in_app("**{{upcase project}}**");
    let mut workflow = workflow(vec![Template::Email(invite), Template::InAppFeed(item), Template::InAppFeed(other)]);
    workflow.settings.engine = Engine::Liquid;
    let StepKind::Channel(step) = &mut workflow.steps[2].kind else { panic!() };
    step.engine = Some(Engine::Handlebars);
    let compiled = compiled(workflow).unwrap();
    let scope = json!({
        "actor": {"name": "Ann Lee"}, "project": "Apollo 11", "message": "<b>1 & 2</b>", "n": 2, "url": "/x",
        "vars": {"app_name": "Acme"},
    });
    let rendered = compiled.email("step_1", scope.clone()).unwrap();
    assert_eq!(rendered.subject, "Ann invited you to Apollo 11");
    assert!(rendered.html.contains("><b>1 &amp; 2</b></p>"), "{}", rendered.html);
    assert!(rendered.html.contains(">&lt;b&gt;1 &amp; 2&lt;/b&gt;</p>"), "{}", rendered.html);
    assert_eq!(rendered.text, "1 & 2\n\n<b>1 & 2</b>\n\n-- \nAcme\n");
    assert_eq!(
        serde_json::to_value(compiled.in_app("step_2", scope.clone()).unwrap()).unwrap(),
        json!([
            {"type": "markdown", "name": "body", "content": "{% if n > 1 %}\n  > {{ message }}\n{% endif %}",
             "rendered": "<blockquote>\n<p>&lt;b&gt;1 &amp; 2&lt;/b&gt;</p>\n</blockquote>"},
            {"type": "text", "name": "action_url", "content": "/p/{{ project | downcase | url_encode }}", "rendered": "/p/apollo+11"},
            {"type": "button_set", "name": "actions", "buttons": [{"name": "primary", "label": "b", "action": "/x"}]},
        ])
    );
    let Block::Markdown { rendered, .. } = &compiled.in_app("step_3", scope.clone()).unwrap()[0] else { panic!() };
    assert_eq!(rendered, "<p><strong>APOLLO 11</strong></p>");
    let hostile = json!({"url": "java\nscript:x"});
    assert!(
        compiled
            .in_app("step_2", hostile.clone())
            .unwrap_err()
            .to_string()
            .contains("must not start with `javascript:`")
    );
}

#[test]
fn a_fault_in_liquid_names_its_place_and_what_would_be_right() {
    let mut workflow = workflow(vec![Template::Email(email("{{ a | upcas }}", "<p>\n {% fi a %}</p>", None))]);
    workflow.settings.engine = Engine::Liquid;
    let found: Vec<String> = compiled(workflow).unwrap_err().iter().map(ToString::to_string).collect();
    let file = "account-invite/workflow.json steps[0].template";
    let usage = "Use it as {% if value %}..{% elsif other %}..{% else %}..{% endif %}.";
    assert_eq!(
        found,
        [
            format!(
                "{file}.subject: line 1, column 8: there is no filter `upcas`. Did you mean `upcase`? Use it as {{{{ code | upcase }}}}."
            ),
            format!("{file}.html_body: line 2, column 5: there is no tag `fi`. Did you mean `if`? {usage}"),
        ]
    );
}

#[test]
fn without_a_layout_the_body_is_the_email() {
    let compiled = compiled(workflow(vec![Template::Email(email("s", "<p>b</p>", Some("t & u")))])).unwrap();
    let rendered = compiled.email("step_1", json!({})).unwrap();
    assert_eq!(
        rendered,
        EmailContent { subject: "s".into(), html: "<p>b</p>".into(), text: "t & u".into(), ..EmailContent::default() }
    );
}

#[test]
fn hostile_names_are_inert_in_every_context() {
    let name = "<script>alert(1)</script>\"'{{vars.secret}}{{{vars.secret}}}\r\nBcc: x@y.z\u{2028}";
    let scope = json!({"recipient": {"name": name}, "vars": {"secret": "hunter2"}});
    let html = "<p title=\"{{recipient.name}}\">{{recipient.name}}</p>";
    let compiled = compiled(workflow(vec![
        Template::Email(email("Hi {{recipient.name}}", html, None)),
        Template::InAppFeed(in_app("Hi **{{recipient.name}}**")),
    ]))
    .unwrap();
    let rendered = compiled.email("step_1", scope.clone()).unwrap();
    assert_eq!(rendered.subject, "Hi <script>alert(1)</script>\"'{{vars.secret}}{{{vars.secret}}} Bcc: x@y.z");
    let escaped =
        "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#39;{{vars.secret}}{{{vars.secret}}}\r\nBcc: x@y.z\u{2028}";
    assert_eq!(rendered.html, format!("<p title=\"{escaped}\">{escaped}</p>"));
    let Block::Markdown { rendered: item, .. } = &compiled.in_app("step_2", scope.clone()).unwrap()[0] else {
        panic!()
    };
    assert!(item.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{item}");
    for output in [&rendered.subject, &rendered.html, &rendered.text, item] {
        assert!(!output.contains("hunter2"), "{output}");
    }
}

#[test]
fn a_feed_item_keeps_its_author_s_html_and_shows_that_of_data_as_text() {
    let scope = json!({"notes": ["one <b>bold</b>", "a < b"], "html": "<i>x</i>"});
    let each = "{{#each notes}}\n<blockquote>\n{{this}}\n</blockquote>\n{{/each}}\n<u>{{html}}</u>";
    let blocks = feed(in_app(each), &scope).unwrap();
    let Block::Markdown { rendered, .. } = &blocks[0] else { panic!("{blocks:?}") };
    let quotes: Vec<&str> = rendered.split("</blockquote>").map(str::trim).collect();
    assert_eq!(quotes[0], "<blockquote>\none &lt;b&gt;bold&lt;/b&gt;");
    assert_eq!(quotes[1], "<blockquote>\na &lt; b");
    assert_eq!(quotes[2], "<u>&lt;i&gt;x&lt;/i&gt;</u>");
}

#[test]
fn a_feed_item_has_the_blocks_that_the_client_reads() {
    let template = InAppTemplate {
        markdown_body: "**{{actor.name}}** edited {{doc}}".into(),
        action_url: Some("{{vars.base}}/docs?a=1&b={{doc}}".into()),
        action_buttons: vec![
            ActionButton { label: "Open {{doc}}".into(), action: "/docs".into() },
            ActionButton { label: "Skip".into(), action: "{{vars.base}}".into() },
        ],
    };
    let scope = json!({"actor": {"name": "Ann"}, "doc": "Plan", "vars": {"base": "https://app.example"}});
    assert_eq!(
        serde_json::to_value(feed(template, &scope).unwrap()).unwrap(),
        json!([
            {"type": "markdown", "name": "body", "content": "**{{actor.name}}** edited {{doc}}",
             "rendered": "<p><strong>Ann</strong> edited Plan</p>"},
            {"type": "text", "name": "action_url", "content": "{{vars.base}}/docs?a=1&b={{doc}}",
             "rendered": "https://app.example/docs?a=1&b=Plan"},
            {"type": "button_set", "name": "actions", "buttons": [
                {"name": "primary", "label": "Open Plan", "action": "/docs"},
                {"name": "secondary", "label": "Skip", "action": "https://app.example"}]},
        ])
    );
    let bare = InAppTemplate { action_url: Some(" ".into()), ..in_app("x") };
    assert_eq!(feed(bare, &scope).unwrap().len(), 1);
}

#[test]
fn a_link_that_would_run_code_is_an_error_that_names_it() {
    let template = InAppTemplate { action_url: Some("{{url}}".into()), ..in_app("x") };
    let error = feed(template.clone(), &json!({"url": " Java\nScript:alert(1)"})).unwrap_err();
    assert_eq!(
        error.to_string(),
        "account-invite/workflow.json steps[0].template.action_url: a link must not start with `javascript:`; use https, or a path such as /projects/1"
    );
    assert_eq!(feed(template, &json!({"url": "/a"})).unwrap().len(), 2);
}

#[test]
fn helpers_compute_what_they_say() {
    let scope = json!({
        "name": "ann lee", "n": 3, "one": 1, "price": 1234.5, "neg": -1234567, "items": ["a", "b", "c"], "none": [],
        "at": "2026-03-06T23:30:00Z", "day": "2026-03-06", "o": {"k": "v"}, "date": "a variable", "q": "a&b =ü",
        "objects": [{"x": 1}, {"x": 2}], "text": "one two three four",
    });
    let table = [
        ("{{date at \"%b %-d, %Y\"}}", "Mar 6, 2026"),
        ("{{date at \"%Y-%m-%d %H:%M\" tz=\"Asia/Tokyo\"}}", "2026-03-07 08:30"),
        ("{{date at \"%H:%M\" \"America/New_York\"}}", "18:30"),
        ("{{date day \"%A\" tz=\"America/New_York\"}}", "Friday"),
        ("{{date missing \"%A\"}}", ""),
        ("{{date}}", "a variable"),
        ("{{default missing \"there\"}}|{{default name \"there\"}}", "there|ann lee"),
        ("{{n}} {{pluralize n \"item\" \"items\"}}, {{one}} {{pluralize one \"item\" \"items\"}}", "3 items, 1 item"),
        ("{{first items}}{{last items}}{{first none}}{{first \"xyz\"}}", "acx"),
        ("{{first (split name \" \")}}", "ann"),
        ("{{join items \", \"}}|{{join (split \"a,b\" \",\") \"+\"}}", "a, b, c|a+b"),
        ("{{json o}}", "{\"k\":\"v\"}"),
        ("{{capitalize name}}|{{titlecase name}}|{{upcase name}}|{{downcase \"ÀB\"}}", "Ann lee|Ann Lee|ANN LEE|àb"),
        ("{{truncate name 5}}|{{truncate name 5 \"…\"}}|{{truncate name 50}}", "an...|ann …|ann lee"),
        ("{{truncatewords text 2}}|{{truncatewords text 4}}", "one two...|one two three four"),
        ("{{append name \"!\"}}{{prepend name \"@\"}}", "ann lee!@ann lee"),
        ("{{replace name \"n\" \"m\"}}|{{trim \"  a \"}}", "amm lee|a"),
        (
            "{{plus n 1}} {{minus n 1}} {{times n 2}} {{divide n 2}} {{divide 4 2}} {{plus \"2\" 0.5}}",
            "4 2 6 1.5 2 2.5",
        ),
        ("{{round price}} {{round 1.256 2}}", "1235 1.26"),
        ("{{number price 2}} {{number neg}} {{number 1000}} {{number 999}}", "1,234.50 -1,234,567 1,000 999"),
        ("{{length items}}{{size name}}{{len o}}", "371"),
        ("{{url_encode q}}", "a%26b%20%3D%C3%BC"),
        ("{{#if (contains items \"b\")}}y{{/if}}{{contains name \"lee\"}}{{contains o \"z\"}}", "ytruefalse"),
        ("{{concat name \"-\" n}}|{{length (concat items items)}}", "ann lee-3|6"),
        ("{{lookup o \"k\"}}{{lookup items 1}}{{lookup items 9}}", "vb"),
        ("{{#if (and (gt n 2) (lte n 3) (not none))}}y{{else}}n{{/if}}", "y"),
        ("{{#eq n 3.0}}y{{else}}n{{/eq}}{{#if (or missing (ne n 3))}}y{{else}}n{{/if}}", "yn"),
        ("{{#unless none}}u{{/unless}}{{#if 0 includeZero=true}}z{{/if}}", "uz"),
        ("{{#each items}}{{@index}}{{this}}{{#unless @last}},{{/unless}}{{/each}}", "0a,1b,2c"),
        ("{{#each o}}{{@key}}={{this}}{{/each}}{{#each none}}x{{else}}empty{{/each}}", "k=vempty"),
        ("{{#each objects as |item i|}}{{i}}{{item.x}}{{../n}}{{@root.one}};{{/each}}", "0131;1231;"),
        ("{{#each (split \"a b\" \" \") as |w|}}{{w}}{{this}}{{../n}}{{/each}}", "aa3bb3"),
        ("{{#with o}}{{k}}{{../n}}{{/with}}{{#with missing}}x{{else}}no{{/with}}", "v3no"),
        ("{{#if missing}}a{{else if n}}b{{else}}c{{/if}}", "b"),
        ("{{missing}}{{missing.deep}}{{o.none.x}}", ""),
        ("\\{{name}} {{! no }}{{!-- {{no}} --}}", "{{name}} "),
    ];
    for (template, expected) in table {
        assert_eq!(text(template, &scope).as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn a_helper_says_what_it_cannot_read() {
    let table = [
        ("{{date \"tomorrow\" \"%A\"}}", "`date`: the value is not a date; give 2026-01-31 or 2026-01-31T17:00:00Z"),
        ("{{date day \"%A\" tz=\"Mars\"}}", "`date`: there is no such time zone; write one as Europe/Berlin"),
        ("{{divide 1 0}}", "`divide`: cannot divide by zero"),
        ("{{plus \"x\" 1}}", "`plus`: a string is not a number"),
        ("{{round 1 99}}", "`round`: at most 12 decimals"),
        ("{{list.name}}", "a list has no `name`; use `each`, `first`, or a number in brackets as in `items.[0]`"),
    ];
    for (template, expected) in table {
        let error = text(&format!("a\n {template}"), &json!({"day": "2026-03-06", "list": []})).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("account-invite/workflow.json steps[0].template.text_body line 2, column 2: {expected}")
        );
    }
    assert!(text("{{date day \"%\"}}", &json!({"day": "2026-03-06"})).is_err());
}

#[test]
fn loading_finds_all_faults_and_says_what_would_be_right() {
    let mut broken = email("{{#if a}}x{{/unless}}", "<p>{{upcas name}}</p>\n {{> footer}}", Some("{{#each items}}"));
    broken.layout = Some("fancy".into());
    let found = faults(vec![Template::Email(broken), Template::InAppFeed(in_app("{{first}} {{date x}} {{(if a)}}"))]);
    let file = "account-invite/workflow.json steps";
    assert_eq!(
        found,
        [
            format!(
                "{file}[0].template.settings.layout_key: there is no email layout `fancy`. The known layouts are \"default\"; null means none."
            ),
            format!(
                "{file}[0].template.subject: line 1, column 11: `{{{{#if}}}}` is closed by `{{{{/unless}}}}`. Close blocks in the reverse order of their opening."
            ),
            format!(
                "{file}[0].template.html_body: line 1, column 4: there is no helper `upcas`. Did you mean `upcase`? Use it as {{{{upcase code}}}}."
            ),
            format!(
                "{file}[0].template.html_body: line 2, column 2: there is no partial `footer`. Create partials/footer/partial.json, or correct the name."
            ),
            format!(
                "{file}[0].template.text_body: line 1, column 1: `{{{{#each items}}}}` is never closed. Write {{{{/each}}}} where it shall end."
            ),
            format!(
                "{file}[1].template.markdown_body: line 1, column 11: `date` does not take 1 values. Use it as {{{{date due \"%b %-d, %Y\" tz=\"Europe/Berlin\"}}}}."
            ),
            format!(
                "{file}[1].template.markdown_body: line 1, column 22: `if` cannot be used inside another tag. Use it as {{{{#if paid}}}}..{{{{else}}}}..{{{{/if}}}}."
            ),
        ]
    );
}

#[test]
fn what_does_not_exist_is_found_when_loading() {
    let table = [
        ("{{log \"x\"}}", "there is no helper `log`"),
        ("{{#items}}x{{/items}}", "there is no helper `items`"),
        ("{{a (frist b)}}", "there is no helper `frist`"),
        ("{{#if (first (nothing b))}}x{{/if}}", "there is no helper `nothing`"),
        ("{{#if a}}{{#each b}}{{x y}}{{/each}}{{/if}}", "there is no helper `x`"),
        ("{{data[0]}}", "there is no helper `data`. For an element of a list write {{data.[0]}}."),
        ("{{date a \"%A\" zone=\"x\"}}", "`date` has no option `zone=`"),
        ("{{#* inline \"a\"}}x{{/inline}}", "decorators `{{* name}}` are not supported"),
        ("{{each items}}", "`each` cannot be used without `#`"),
    ];
    for (template, expected) in table {
        let found = faults(vec![Template::InAppFeed(in_app(template))]);
        assert!(found[0].contains(expected), "{template}: {}", found[0]);
    }
}

/// What the templates of a workflow in this language say that no rendering will take.
fn foreseen(engine: Engine, templates: &[&str]) -> Vec<String> {
    let mut workflow = workflow(templates.iter().map(|one| Template::InAppFeed(in_app(one))).collect());
    workflow.settings.engine = engine;
    compiled(workflow).unwrap().foreseen().iter().map(ToString::to_string).collect()
}

#[test]
fn what_no_rendering_will_take_is_foreseen_and_does_not_keep_a_template_from_loading() {
    let place = |step: usize, column: usize| {
        format!("account-invite/workflow.json steps[{step}].template.markdown_body: line 1, column {column}")
    };
    let liquid = [
        "{% if a %}{{ n | divided_by: 0 }}{% endif %}",
        "{{ due | date: f, 'Europe/Berln' }}",
        "{% for i in x %}{% assign a = due | date: '%d %' %}{% endfor %}",
        "{{ price | currency: 'EURO' }}{{ title | truncate: 'x' }}",
    ];
    assert_eq!(
        foreseen(Engine::Liquid, &liquid),
        [
            format!(
                "{}: `divided_by`: cannot divide by zero. Use it as {{{{ cents | divided_by: 100.0 }}}}.",
                place(0, 18)
            ),
            format!(
                "{}: `date`: there is no such time zone; perhaps Europe/Berlin is meant. Use it as {{{{ due | date: \"%b %-d, %Y\", \"Europe/Berlin\" }}}}.",
                place(1, 10)
            ),
            format!(
                "{}: `date`: the format ends within a `%`; write %% for the sign itself. Use it as {{{{ due | date: \"%b %-d, %Y\", \"Europe/Berlin\" }}}}.",
                place(2, 37)
            ),
            format!(
                "{}: `currency`: a currency is three letters, such as EUR. Use it as {{{{ price | currency: \"EUR\", \"de\" }}}}.",
                place(3, 12)
            ),
            format!("{}: `truncate`: a text is not a number. Use it as {{{{ title | truncate: 40 }}}}.", place(3, 42)),
        ]
    );
    let handlebars = [
        "{{#if a}}{{plus (divide n 0) 1}}{{/if}}",
        "{{date due f tz=\"Nowhere/Zone\"}}",
        "{{#if (gt (round n 99) 1)}}{{/if}}",
    ];
    assert_eq!(
        foreseen(Engine::Handlebars, &handlebars),
        [
            format!("{}: `divide`: cannot divide by zero. Use it as {{{{divide cents 100}}}}.", place(0, 10)),
            format!(
                "{}: `date`: there is no such time zone; write one as Europe/Berlin. Use it as {{{{date due \"%b %-d, %Y\" tz=\"Europe/Berlin\"}}}}.",
                place(1, 1)
            ),
            format!("{}: `round`: at most 12 decimals. Use it as {{{{round rate 2}}}}.", place(2, 1)),
        ]
    );
}

#[test]
fn nothing_is_foreseen_that_may_go_well() {
    let liquid = [
        "{{ n | divided_by: m }}{{ due | date: f, zone }}{{ p | currency: c, l }}{{ n | round: d }}{{ x | concat: y }}",
    ];
    assert_eq!(foreseen(Engine::Liquid, &liquid), [""; 0]);
    let handlebars = [
        "{{divide 100 n}}{{date due \"%F\" zone}}{{date due f tz=zone}}{{currency 5 c \"de\"}}{{round 1.5 n}}{{divide 1 (plus a b)}}",
    ];
    assert_eq!(foreseen(Engine::Handlebars, &handlebars), [""; 0]);
    let usages: Vec<&str> =
        helper::ALL.iter().map(|spec| spec.usage).filter(|usage| !usage.contains("#if (")).collect();
    assert_eq!(foreseen(Engine::Handlebars, &usages), [""; 0]);
}

#[test]
fn a_rendering_without_end_is_stopped() {
    let list: Vec<u32> = (0..1_000).collect();
    let words = "word ".repeat(9_000);
    let big: Vec<Value> = (0..20_000).map(|n| json!({"n": n, "s": "x".repeat(40)})).collect();
    let scope = json!({"list": list, "words": words, "big": big, "one": [big], "long": "x".repeat(900_000)});
    let path = ["a"; 30].join(".");
    let steps = [
        "{{#each list}}{{#each ../list}}{{#each ../../list}}{{/each}}{{/each}}{{/each}}".to_owned(),
        format!("{{{{#each big}}}}{}{{{{/each}}}}", format!("{{{{{path}}}}}").repeat(50)),
        "{{#each list}}{{#if (json ../big)}}{{/if}}{{/each}}".to_owned(),
        "{{#each list}}{{#if (replace ../long \"x\" \"y\")}}{{/if}}{{/each}}".to_owned(),
        "{{#with (split words \" \")}}{{#each @root.list}}{{#each @root.list}}{{#if ../../this}}{{/if}}{{/each}}{{/each}}{{/with}}"
            .to_owned(),
        "{{#with (first one)}}{{#each @root.list}}{{#if ../this}}{{/if}}{{/each}}{{/with}}".to_owned(),
        "{{#each list}}{{#each (split ../words \" \")}}{{/each}}{{/each}}".to_owned(),
        "{{#each list}}{{#if (eq ../big ../big)}}{{/if}}{{/each}}".to_owned(),
        "{{#each list}}{{#if (default ../big 1)}}{{/if}}{{/each}}".to_owned(),
    ];
    for template in steps {
        let error = text(&template, &scope).unwrap_err();
        assert_eq!(error.cause, Cause::Budget(Limit::Steps), "{template}");
    }
    for template in ["{{long}}{{long}}", "{{#each list}}{{json ../words}}{{/each}}"] {
        assert_eq!(text(template, &scope).unwrap_err().cause, Cause::Budget(Limit::Output(EMAIL_BYTES)));
    }
    assert!(text("{{replace long \"x\" \"yyyy\"}}", &scope).is_err());
    let error = feed(in_app("{{long}}"), &scope).unwrap_err();
    assert_eq!(error.cause, Cause::Budget(Limit::Output(FEED_BYTES)));
}

#[test]
fn an_ordinary_digest_is_far_from_the_limits() {
    let items: Vec<Value> = (0..1_000).map(|n| json!({"title": format!("Item {n}"), "n": n})).collect();
    let template =
        "{{#each items}}{{#if (gt n 1)}}{{n}}. {{truncate title 20}} of {{length ../items}}\n{{/if}}{{/each}}";
    assert!(text(template, &json!({"items": items})).is_ok());
}

#[test]
fn hostile_sources_are_refused() {
    let sources = [
        "{{#if a}}".repeat(20_000),
        "{{#if a}}".repeat(20_000) + &"{{/if}}".repeat(20_000),
        format!("{{{{#if a}}}}{}{{{{/if}}}}", "{{else if b}}".repeat(15_000)),
        format!("{{{{{}", "(first ".repeat(30_000)),
        format!("{{{{x {}", "[".repeat(100_000)),
        format!("{{{{x {}", "{".repeat(100_000)),
        format!("{{{{{}", "a.".repeat(100_000)),
        "{{".repeat(100_000),
        "\\{{".repeat(80_000),
        "{{{{a}}}}".repeat(20_000),
        "{{#> a}}".repeat(20_000),
        "{{#*inline \"a\"}}".repeat(10_000),
        "{{!--".repeat(40_000),
    ];
    for source in sources {
        assert!(compiled(workflow(vec![Template::InAppFeed(in_app(&source))])).is_err(), "{}", &source[..12]);
    }
}

#[test]
fn a_step_of_another_channel_is_an_error_and_not_a_message() {
    let compiled = compiled(workflow(vec![Template::InAppFeed(in_app("x"))])).unwrap();
    let error = compiled.email("step_1", json!({})).unwrap_err();
    assert_eq!(
        error.to_string(),
        "steps.step_1: the workflow has no email step of this name; use the `ref` of one of its steps"
    );
}

#[test]
fn compiled_templates_are_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Compiled>();
}

/// Text that looks like a template often enough to reach the parser's and the renderer's corners.
fn template_text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "{{",
            "}}",
            "{{{",
            "}}}",
            "{{{{",
            "}}}}",
            "{{#",
            "{{/",
            "{{^",
            "{{else}}",
            "{{else if a}}",
            "{{~",
            "~}}",
            "{{!--",
            "--}}",
            "{{> p}}",
            "{{#if a}}",
            "{{/if}}",
            "{{#each b}}",
            "{{/each}}",
            "{{#with c}}",
            "{{/with}}",
            "{{a}}",
            "{{b.[0]}}",
            "{{c.d}}",
            "{{@index}}",
            "{{this}}",
            "{{../a}}",
            "{{../../..}}",
            "{{@root.a}}",
            "(first ",
            "(split ",
            ")",
            "\"",
            "'",
            "[",
            "]",
            " ",
            "\n",
            "=",
            "as |x y|",
            "\\",
            ".",
            "date",
            "a",
            "b",
            "|",
            "{{json c}}",
            "{{truncate a 3}}",
            "{{date a \"%A\"}}",
            "{{plus a b}}",
            "{{replace a \"a\" \"bb\"}}",
            "<div>",
            "**",
            "> ",
            "- ",
            "[x](",
            "javascript:",
            "\u{2028}",
            "\u{0}",
            "é",
            "👩‍👩‍👧",
            "\u{202e}",
            "-",
            "&",
            "<!--",
        ])
        .prop_map(str::to_owned),
        any::<String>(),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

pub(super) fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(|number| json!(number)),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!("2026-03-06T23:30:00Z")),
    ];
    leaf.prop_recursive(3, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map("[abcd]", inner, 0..4).prop_map(|map| json!(map)),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_template_with_any_scope_renders_within_bounds_or_fails(
        source in template_text(),
        a in any_json(),
        b in any_json(),
        c in any_json(),
    ) {
        let scope = json!({"a": a, "b": b, "c": c});
        let mut full = email(&source, &source, None);
        full.layout = Some("default".into());
        let buttons = vec![ActionButton { label: source.clone(), action: source.clone() }];
        let item =
            InAppTemplate { markdown_body: source.clone(), action_url: Some(source.clone()), action_buttons: buttons };
        if let Ok(compiled) = compiled(workflow(vec![Template::Email(full), Template::InAppFeed(item)])) {
            if let Ok(email) = compiled.email("step_1", scope.clone()) {
                prop_assert!(!email.subject.contains(char::is_control));
                prop_assert!(email.html.len() <= EMAIL_BYTES);
            }
            if let Ok(blocks) = compiled.in_app("step_2", scope.clone()) {
                let Block::Markdown { rendered, .. } = &blocks[0] else { panic!() };
                prop_assert!(!rendered.contains("<script") && !rendered.contains("<style"));
            }
        }
    }

    #[test]
    fn any_helper_with_any_values_never_panics(values in prop::collection::vec(any_json(), 3), option in any_json()) {
        for spec in helper::ALL {
            if let helper::Kind::Value(run, _) = spec.kind {
                for count in spec.takes.clone().filter(|count| *count <= 3) {
                    let values: Vec<&Value> = values.iter().take(count).collect();
                    let _ = run(&values, Some(&option));
                }
            }
        }
    }
}
