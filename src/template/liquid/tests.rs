//! What the language does, tag by tag and filter by filter, and what no template can do.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::template::budget::{EMAIL_BYTES, FEED_BYTES, Limit};
use crate::template::error::Cause;
use crate::template::tests::any_json;

pub(super) fn budget(output: usize) -> Rc<Budget> {
    Rc::new(Budget::new(output))
}

pub(super) fn render(template: &str, scope: &Value) -> Result<String, RenderError> {
    let parsed = Template::parse(template, &Default::default()).map_err(|complaints| complaints[0].problem.clone());
    parsed.unwrap_or_else(|problem| panic!("{template}: {problem}")).render("body", scope, &budget(EMAIL_BYTES))
}

pub(super) fn check(scope: &Value, table: &[(&str, &str)]) {
    for (template, expected) in table {
        assert_eq!(render(template, scope).as_deref(), Ok(*expected), "{template}");
    }
}

/// The complaint about a template, as people read it.
fn complaint(template: &str) -> String {
    let complaint = Template::parse(template, &Default::default()).unwrap_err().swap_remove(0);
    let fault = complaint.into_fault(String::new(), String::new());
    format!("{}. {}", fault.problem, fault.fix)
}

/// Every tag that templates may expect (`knock-engine.md` section 6.2, and Liquid's own documentation).
#[test]
fn every_tag_that_templates_may_expect_is_there() {
    for template in [
        "{% if a %}{% elsif b %}{% else %}{% endif %}",
        "{% unless a %}{% elsif b %}{% else %}{% endunless %}",
        "{% case a %}{% when 1, 2 %}{% when 3 or 4 %}{% else %}{% endcase %}",
        "{% for a in b limit:1 offset:2 reversed %}{% break %}{% continue %}{% else %}{% endfor %}",
        "{% for a in (1..b) offset:continue %}{{ forloop.index }}{% endfor %}",
        "{% tablerow a in b cols:2 limit:1 offset:1 %}{% endtablerow %}",
        "{% cycle 'a', 'b' %}{% cycle 'group': 1, 2 %}",
        "{% assign a = b | upcase %}{% capture c %}{% endcapture %}",
        "{% increment a %}{% decrement a %}",
        "{% raw %}{% nothing %}{% endraw %}{% comment %}{% nothing %}{% endcomment %}{% # a note %}",
        "{% echo a %}{% liquid assign a = 1 \n echo a %}",
        "{% t %}Hello {{ name }}{% endt %}{% t count: n %}tasks{% endt %}",
        "{%- if a -%}{{- b -}}{%- endif -%}",
    ] {
        assert!(Template::parse(template, &Default::default()).is_ok(), "{template}: {}", complaint(template));
    }
    assert!(complaint("{% include 'card' %}").contains("Use {% render \"card\""));
    assert!(complaint("{% render 'card' %}").contains("there is no partial"));
}

#[test]
fn names_lead_into_the_scope_and_nothing_is_missing() {
    let scope = json!({
        "name": "Ann", "n": 3, "f": 2.50, "yes": true, "none": null, "list": ["a", "b", "c"], "key": "k",
        "o": {"k": "v", "size": "large", "a b": {"c": 1}}, "deep": [{"x": [1, 2]}], "big": 18_446_744_073_709_551_615_u64,
    });
    check(
        &scope,
        &[
            ("{{ name }}{{name}}{{- name -}}", "AnnAnnAnn"),
            (
                "{{ n }} {{ f }} {{ yes }} {{ none }}|{{ -1 }} {{ 1.0 }} {{ 1.50 }} {{ \"t\\n\" }}",
                "3 2.5 true |-1 1 1.5 t\n",
            ),
            ("{{ missing }}{{ missing.deep[0].er }}{{ name.x }}{{ n.x }}{{ list.x }}{{ list[9] }}{{ list['x'] }}", ""),
            ("{{ list[0] }}{{ list[-1] }}{{ list[-4] }}{{ list.first }}{{ list.last }}{{ list.size }}", "acac3"),
            ("{{ name.size }}{{ o.size }}{{ deep[0].x[1] }}{{ deep.first.x.last }}", "3large22"),
            ("{{ o[key] }}{{ o['k'] }}{{ o[\"a b\"].c }}{{ [key] }}{{ ['name'] }}", "vv1Ann"),
            ("{{ list }}{{ deep }}{{ o.k }}", "abc{\"x\":[1,2]}v"),
            ("{{ (1..3) }}{{ (3..1) }}{{ (n..5) | join: ',' }}", "1233,4,5"),
            ("{{ empty }}{{ blank }}{{ nil }}{{ true }}", "true"),
            ("{{ a-b }}{{ a? }}{{ é }}", ""),
            ("{{ '{{ name }}' }}{{ \"%}\" }}", "{{ name }}%}"),
        ],
    );
}

#[test]
fn conditions_know_only_nil_and_false_as_false() {
    let scope = json!({
        "zero": 0, "text": "", "list": [], "o": {}, "no": false, "n": 2, "s": "2", "word": "pro plan", "tags": ["a", 1],
        "blank_text": " \n", "map": {"k": null}, "same": {"k": null},
    });
    let holds = |condition: &str| render(&format!("{{% if {condition} %}}y{{% endif %}}"), &scope).unwrap() == "y";
    for condition in [
        "zero",
        "text",
        "list",
        "o",
        "true",
        "not no",
        "not missing",
        "n == 2",
        "n == 2.0",
        "n != s",
        "n <> 3",
        "n >= 2",
        "n > 1.5",
        "1 < n",
        "word contains 'plan'",
        "tags contains 1",
        "tags contains 'a'",
        "map contains 'k'",
        "text == empty",
        "list == empty",
        "empty == o",
        "text == blank",
        "blank_text == blank",
        "missing == blank",
        "no == blank",
        "missing == nil",
        "map == same",
        "s > '10'",
        "no or n",
        "true or no and no",
        "n == 2 and s == '2' or no",
        "(1..2) == (1..2)",
        "missing != 1",
    ] {
        assert!(holds(condition), "{condition}");
    }
    for condition in [
        "no",
        "nil",
        "missing",
        "missing.deep",
        "n == s",
        "s > 1",
        "word > 1",
        "missing < 1",
        "missing >= 0",
        "nil == empty",
        "n contains 2",
        "missing contains 'a'",
        "word contains nil",
        "text != ''",
        "map == o",
        "blank_text == empty",
        "not n",
        "tags == list",
        "true and no",
        "no and true or true",
        "no and no or n",
    ] {
        assert!(!holds(condition), "{condition}");
    }
    check(
        &scope,
        &[
            ("{% if no %}a{% elsif n == 2 %}b{% elsif true %}c{% else %}d{% endif %}", "b"),
            ("{% if no %}a{% elsif no %}b{% else %}d{% endif %}{% if no %}x{% endif %}", "d"),
            ("{% unless no %}a{% else %}b{% endunless %}{% unless n %}a{% elsif n %}c{% endunless %}", "ac"),
            ("{% case n %}{% when 1 %}a{% when 2, 3 %}b{% when '2' or 2 %}c{% else %}d{% endcase %}", "bc"),
            ("{% case n %} ignored {% when 1 %}a{% else %}d{% endcase %}{% case n %}{% endcase %}", "d"),
            ("{{ n == 2 }}{{ no or nil }}{% assign x = n > 5 %}{{ x }}", "truefalsefalse"),
        ],
    );
}

#[test]
fn loops_turn_and_know_where_they_are() {
    let scope = json!({
        "list": ["a", "b", "c", "d"], "none": [], "o": {"k": 1, "l": 2}, "two": 2, "text": "xyz", "rows": [[1, 2], [3]],
    });
    check(
        &scope,
        &[
            (
                "{% for x in list %}{{ forloop.index }}{{ x }}{% unless forloop.last %},{% endunless %}{% endfor %}",
                "1a,2b,3c,4d",
            ),
            ("{% for x in list reversed limit:2 offset:1 %}{{ x }}{{ forloop.rindex }}{% endfor %}", "c2b1"),
            ("{% for x in list, limit: two, offset: two %}{{ x }}{{ forloop.first }}{% endfor %}", "ctruedfalse"),
            (
                "{% for x in list limit:1 %}{{ x }}{% endfor %}{% for x in list offset:continue %}{{ x }}{% endfor %}",
                "abcd",
            ),
            (
                "{% for x in none %}a{% else %}empty{% endfor %}{% for x in missing %}a{% else %}none{% endfor %}",
                "emptynone",
            ),
            ("{% for p in o %}{{ p[0] }}={{ p[1] }};{{ p.first }}{% endfor %}", "k=1;kl=2;l"),
            (
                "{% for x in text %}{{ x }}!{% endfor %}{% for x in '' %}a{% endfor %}{% for x in 5 %}a{% endfor %}",
                "xyz!",
            ),
            (
                "{% for i in (1..two) %}{{ i }}{{ forloop.length }}{{ forloop.index0 }}{{ forloop.rindex0 }} {% endfor %}",
                "1201 2210 ",
            ),
            (
                "{% for r in rows %}{% for x in r %}{{ forloop.parentloop.index }}{{ forloop.index }}{{ x }} {% endfor %}{% endfor %}",
                "111 122 213 ",
            ),
            (
                "{% for x in list %}{% if x == 'b' %}{% continue %}{% endif %}{% if x == 'd' %}{% break %}{% endif %}{{ x }}{% endfor %}!",
                "ac!",
            ),
            ("{% for x in list %}{{ x }}{% for y in list %}{% break %}{% endfor %}{% endfor %}", "abcd"),
            ("a{% break %}b", "a"),
            (
                "{% for x in list limit:-1 %}{{ x }}{% else %}none{% endfor %}{% for x in list offset:9 %}{{ x }}{% endfor %}",
                "none",
            ),
            (
                "{% for x in list %}{% cycle 'odd', 'even' %} {% cycle 'g': 1, 2, 3 %} {% endfor %}",
                "odd 1 even 2 odd 3 even 1 ",
            ),
            (
                "{% tablerow x in list cols:2 limit:3 %}{{ x }}{{ tablerowloop.col }}{% endtablerow %}",
                "<tr class=\"row1\"><td class=\"col1\">a1</td><td class=\"col2\">b2</td></tr><tr class=\"row2\"><td class=\"col1\">c1</td></tr>",
            ),
            ("{% tablerow x in none %}a{% endtablerow %}", ""),
            ("{% for x in list %}{{ forloop.nothing }}{{ forloop }}{% endfor %}{{ x }}{{ forloop.index }}", ""),
        ],
    );
}

#[test]
fn names_are_assigned_counted_and_captured() {
    let scope = json!({"name": "Ann", "five": 5, "list": [1, 2]});
    check(
        &scope,
        &[
            ("{% assign x = name | upcase %}{{ x }}{% assign name = 1 %}{{ name }}", "ANN1"),
            ("{% for x in list %}{% assign y = x %}{% assign x = 9 %}{{ x }}{% endfor %}{{ y }}{{ x }}", "1229"),
            ("{% if true %}{% assign x = 'kept' %}{% endif %}{{ x }}", "kept"),
            (
                "{% capture c %}<{{ name }}>{% endcapture %}{{ c }}{{ c.size }}{% capture 'a b' %}q{% endcapture %}{{ ['a b'] }}",
                "<Ann>5q",
            ),
            (
                "{% increment x %}{% increment x %}{{ x }}{% decrement y %}{% decrement y %}{% increment five %}{{ five }}",
                "012-1-256",
            ),
            ("{% assign x = 7 %}{% increment x %}{{ x }}", "07"),
            (
                "{% echo name | downcase %}{% # a note %}{% comment %}{% if %}{{ {% endcomment %}{% raw %}{{ x }}{% endraw %}",
                "ann{{ x }}",
            ),
            (
                "{% liquid\n  assign x = 3\n  if x > 2\n    echo 'big'\n  else\n    echo 'small'\n  endif\n  for i in (1..x)\n echo i\n endfor\n%}",
                "big123",
            ),
            ("{% t %}Hello {{ name }}{% endt %}", "Hello Ann"),
            ("{{ 'greeting' | t | default: 'Hello' }}{{ 'greeting' | t: name: name | default: 'Hi' }}", "HelloHi"),
            ("a \n {%- if true -%} \n b \n {%- endif -%} \n c", "abc"),
        ],
    );
}

#[test]
fn what_does_not_exist_is_found_when_loading() {
    let table = [
        (
            "a\n {% fi x %}",
            "line 2, column 5: there is no tag `fi`. Did you mean `if`? Use it as {% if value %}..{% elsif other %}..{% else %}..{% endif %}.",
        ),
        (
            "{{ a | upcas }}",
            "line 1, column 8: there is no filter `upcas`. Did you mean `upcase`? Use it as {{ code | upcase }}.",
        ),
        (
            "{{ a | date: 1, 2, 3 }}",
            "line 1, column 8: `date` does not take 3 values. Use it as {{ due | date: \"%b %-d, %Y\", \"Europe/Berlin\" }}.",
        ),
        (
            "{{ a | default: 1, allow: true }}",
            "line 1, column 8: `default` has no option `allow:`. Use it as {{ name | default: \"there\" }}.",
        ),
        ("{% if a = b %}{% endif %}", "line 1, column 9: `=` stands where the tag's end should. Write == to compare."),
        ("{% if a %}b", "line 1, column 4: `{% if %}` is never closed. Close it with {% endif %}."),
        (
            "{% for a in b %}{% endif %}",
            "line 1, column 20: `{% endif %}` stands inside the `{% for %}` of line 1. Close blocks in the reverse order of their opening.",
        ),
        (
            "{% case a %}{% when 1 %}{% endcas %}",
            "line 1, column 28: there is no tag `endcas`. Did you mean `endcase`?",
        ),
        (
            "a {{#if b}}{{/if}}",
            "line 1, column 5: this is Handlebars, and is read as Liquid. Write Liquid, such as {% if name %}..{% endif %}. \
             A workflow, a template of a step or a partial can also say \"template_engine\": \"handlebars\"; a layout is Liquid.",
        ),
        ("{% endif %}", "line 1, column 4: `{% endif %}` has no opening tag. Remove it."),
        ("{% else %}", "line 1, column 4: `{% else %}` has no opening tag. Remove it."),
        (
            "{% if a %}{% else if b %}{% endif %}",
            "line 1, column 19: `if` stands where the tag's end should. Write {% elsif condition %}, or nothing behind `else`.",
        ),
        (
            "{% if %}{% endif %}",
            "line 1, column 6: the tag ends where a value should. Write a name, a number, or a text in quotes.",
        ),
        ("{{ }}", "line 1, column 4: the tag ends where a value should. Write a name, a number, or a text in quotes."),
        (
            "{{ a b }}",
            "line 1, column 6: `b` stands where the tag's end should. Join values with `and` or `or`, and filters with `|`.",
        ),
        (
            "{{ (a or b) }}",
            "line 1, column 7: `or` stands where `..` should. Parentheses are for ranges such as (1..3). Conditions are read from right to left; use `assign`.",
        ),
        (
            "{% assign a 1 %}",
            "line 1, column 13: a number stands where `=` should. Use it as {% assign name = value %}.",
        ),
        (
            "{% for a on b %}{% endfor %}",
            "line 1, column 10: `on` stands where `in` should. Use it as {% for item in items %}..{% endfor %}.",
        ),
        (
            "{% for a in b limt:2 %}{% endfor %}",
            "line 1, column 20: `for` has no option `limt:`. A loop takes limit:2, offset:1 and reversed; a table also cols:2.",
        ),
        (
            "{% include 'a' %}",
            "line 1, column 4: there is no tag `include`. Use {% render \"card\", title: data.title %}, and name what the partial needs.",
        ),
        (
            "{{ 'a' | t: 1 }}",
            "line 1, column 10: `t` does not take 1 values. Use it as {{ \"greeting\" | t: name: recipient.name }}.",
        ),
        ("{% %}", "line 1, column 4: a tag has no name. Write {{ value }} to print a value."),
        (
            "{{ 'it }}",
            "line 1, column 1: `{{` is never closed. Check that each {{ has its }}, and each text both of its quotes.",
        ),
        (
            "{{ a.[0] }}",
            "line 1, column 6: `[` stands where a name should. Write names as in recipient.name, numbers as in items[0].",
        ),
    ];
    for (template, expected) in table {
        assert_eq!(complaint(template), expected, "{template}");
    }
    let all = Template::parse("{{ a | x1 }}{% if b | x2 %}{{ c | x3 }}{% endif %}{% assign d %}", &Default::default())
        .unwrap_err();
    assert_eq!(all.len(), 4);
    assert!(Template::parse(&"{{ a | x }}".repeat(1_000), &Default::default()).unwrap_err().len() <= 20);
}

#[test]
fn the_shapes_of_published_workflows_render() {
    let scope = json!({
        "recipient": {"name": null}, "actor": {"name": "Ann Lee"}, "actors": [{"name": "Ann"}, {"name": "Bo"}],
        "total_actors": 2, "total_activities": 3, "page_name": "Plan", "comment_body": "> looks \"good\"",
        "invite_message": "Come & see",
        "activities": [
            {"inserted_at": "2026-03-06T23:30:00.000000Z", "event": "cpu", "data": {"alert": {"title": "CPU high"}}},
            {"inserted_at": "2026-03-07T03:05:00.000000Z", "event": "disk", "data": {}},
        ],
    });
    let comments = "{% if total_actors > 1 %} \n  {{ actors[0].name }} and {{ total_actors | minus: 1 }} more.\n\
                    {% elsif  total_activities > 1 %}\n  **{{ actor.name}}** left {{ total_activities }}.\n  \n\
                    {% else %}\n  **{{ actor.name}}** wrote.  \n  > {{ comment_body }}\n{% endif %}";
    check(
        &scope,
        &[
            (comments, " \n  Ann and 1 more.\n"),
            ("Hi {{ recipient.name | default: \"there\" }},", "Hi there,"),
            ("## {{ actor.name | split: \" \" | first }} invites you", "## Ann invites you"),
            ("{% if invite_message %}\n  > {{ invite_message }}\n{% endif %}", "\n  > Come & see\n"),
            (
                "**{{ total_activities }}** {{ total_activities | pluralize: \"alert\", \"alerts\" }}:\n{% for activity in activities %}\n\
             <blockquote>\n{{ activity.data.alert.title | default: activity.event }} — {{ activity.inserted_at | date: \"%b %-d, %-I:%M %p\" }}\n\
             </blockquote>\n{% endfor %}",
                "**3** alerts:\n\n<blockquote>\nCPU high — Mar 6, 11:30 PM\n</blockquote>\n\n<blockquote>\ndisk — Mar 7, 3:05 AM\n</blockquote>\n",
            ),
            ("<a title=\"{{ total_activities | pluralize: \"one\", \"many\" }}\">", "<a title=\"many\">"),
        ],
    );
    let one = json!({"total_actors": 1, "total_activities": 1, "actor": {"name": "Ann"}, "comment_body": "fine"});
    assert_eq!(render(comments, &one).unwrap(), "\n  **Ann** wrote.  \n  > fine\n");
    assert_eq!(render(comments, &json!({})).unwrap(), "\n  **** wrote.  \n  > \n");
}

#[test]
fn a_layout_shares_its_names_with_what_it_frames_in_the_order_of_the_document() {
    let layout = Template::parse(
        "{{ title }}<{% if title %}!{% endif %}{{ content }}>{{ title }} {{ subject }} {{ content }}",
        &Default::default(),
    )
    .unwrap();
    let body = Template::parse("{% assign title = 'T' %}{{ name }}{% increment n %}", &Default::default()).unwrap();
    let (scope, names) = (json!({"name": "Ann"}), Map::from_iter([("subject".to_owned(), json!("S"))]));
    let around = |content| {
        let frame = Frame { scope: &scope, names: &names };
        layout.render_around("layout", None, content, frame, EMAIL_BYTES)
    };
    let Placed { text: whole, content: placed } = around(Content::Template(&body, "body")).unwrap();
    assert_eq!(whole, "<Ann0>T S Ann0");
    assert_eq!(&whole[placed], "Ann0");
    let Placed { text: whole, content: placed } = around(Content::Text("{{ name }}")).unwrap();
    assert_eq!((whole.as_str(), &whole[placed]), ("<{{ name }}> S {{ name }}", "{{ name }}"));
    let faulty = Template::parse("é\n{{ 1 | divided_by: 0 }}", &Default::default()).unwrap();
    let error = around(Content::Template(&faulty, "body")).unwrap_err();
    assert_eq!(error.to_string(), "body line 2, column 8: `divided_by`: cannot divide by zero");
}

#[test]
fn data_is_never_read_as_a_template() {
    let scope = json!({"name": "{{ vars.secret }}{% raw %}", "vars": {"secret": "hunter2"}, "key": "vars.secret"});
    check(
        &scope,
        &[
            (
                "{{ name }}{% capture c %}{{ name }}{% endcapture %}{{ c }}",
                "{{ vars.secret }}{% raw %}{{ vars.secret }}{% raw %}",
            ),
            ("{{ [key] }}{{ name | append: '}}' | escape }}", "{{ vars.secret }}{% raw %}}}"),
        ],
    );
}

#[test]
fn a_rendering_without_end_is_stopped() {
    let big: Vec<Value> = (0..20_000).map(|n| json!({"n": n, "s": "x".repeat(40)})).collect();
    let scope = json!({"big": big, "long": "x".repeat(900_000), "list": (0..1_000).collect::<Vec<_>>()});
    let nested =
        |body: &str| format!("{{% for a in (1..1000) %}}{{% for b in (1..1000) %}}{body}{{% endfor %}}{{% endfor %}}");
    let steps = [
        "{% for i in (1..1000000000) %}{% endfor %}".to_owned(),
        "{% for i in (-9223372036854775808..9223372036854775807) %}{% endfor %}".to_owned(),
        "{{ (1..9223372036854775807) | join }}".to_owned(),
        "{{ (1..100000000) | sort | reverse | size }}".to_owned(),
        "{% tablerow i in (1..1000000000) cols:0 %}{% endtablerow %}".to_owned(),
        nested(""),
        nested("{% if a == b and a contains b or b %}{% endif %}"),
        nested("{% assign x = big | where: 's', 'y' %}"),
        nested("{% assign x = long | replace: 'x', 'y' %}"),
        nested("{% if long contains 'y' %}{% endif %}"),
        nested("{% if big == list %}{% endif %}{% if big == big %}{% endif %}"),
        nested("{% assign x = big | json %}"),
        nested("{% for p in big[0] %}{% endfor %}"),
        nested("{% capture x %}{% endcapture %}{% cycle 1, 2 %}{% increment y %}"),
        "{% assign s = 'x' %}{% for i in (1..1000) %}{% assign s = s | append: s %}{% if s.size > 900000 %}{% assign s = 'x' %}{% endif %}{% endfor %}".to_owned(),
        "{% assign l = list %}{% for i in (1..100) %}{% assign l = l | concat: l %}{% endfor %}".to_owned(),
        "{% assign l = list %}{% for i in (1..10000) %}{% assign l = l | push: i %}{% endfor %}".to_owned(),
        "{% assign l = 'a' | split: ',' %}{% for i in (1..60) %}{% assign l = l | push: l %}{% endfor %}{% if l == l %}{% endif %}".to_owned(),
        "{% assign l = 'a' | split: ',' %}{% for i in (1..60) %}{% assign l = l | push: l %}{% endfor %}{{ l | uniq | size }}".to_owned(),
    ];
    for template in &steps {
        let error = render(template, &scope).expect_err(template);
        assert!(matches!(error.cause, Cause::Budget(Limit::Steps | Limit::Output(EMAIL_BYTES))), "{template}: {error}");
    }
    let error = render("{% assign s = long %}{% for i in (1..30) %}{% assign s = s | append: s %}{% endfor %}", &scope)
        .unwrap_err();
    assert_eq!(error.cause, Cause::Budget(Limit::Output(EMAIL_BYTES)));
    let deep = "{% assign l = list %}{% for i in (1..5000) %}{% assign l = '' | split: '' | push: l %}{% endfor %}";
    assert_eq!(render(deep, &scope).unwrap_err().cause, Cause::Budget(Limit::Depth(64)));
    let long = Template::parse("{{ long }}", &Default::default()).unwrap();
    assert_eq!(
        long.render("x", &scope, &budget(FEED_BYTES)).unwrap_err().cause,
        Cause::Budget(Limit::Output(FEED_BYTES))
    );
}

#[test]
fn a_hostile_source_is_refused_at_once() {
    let sources = [
        "{% if a %}".repeat(20_000),
        "{% if a %}".repeat(65) + &"{% endif %}".repeat(65),
        "{% for a in b %}".repeat(20_000),
        "{% case a %}{% when 1 %}".repeat(15_000),
        "{% capture a %}".repeat(15_000),
        format!("{{{{ {}a", "[".repeat(100_000)),
        format!("{{{{ a{}1{} }}}}", "[".repeat(100), "]".repeat(100)),
        format!("{{{{ {}1", "(".repeat(100_000)),
        format!("{{{{ {} }}}}", "a.".repeat(100_000)),
        format!("{{{{ a{} }}}}", " | upcase".repeat(10_000)),
        format!("{{% if {} a %}}{{% endif %}}", "not ".repeat(10_000)),
        "{{".repeat(100_000),
        "{%".repeat(100_000),
        "{{ '".repeat(60_000),
        "{% raw %}".repeat(20_000),
        format!("{{% raw %}}{}", "{% ".repeat(80_000)),
        format!("{{% raw %}}{}", "{% endraw x ".repeat(20_000)),
        format!("{{% comment %}}{}", "{% comment %}".repeat(15_000)),
        "{% liquid ".repeat(20_000),
        format!("{{% liquid {} %}}", "\nif a".repeat(20_000)),
        "a".repeat(300_000),
    ];
    for source in sources {
        assert!(Template::parse(&source, &Default::default()).is_err(), "{}", &source[..12]);
    }
}

#[test]
fn the_deepest_template_that_is_taken_is_rendered() {
    let source = "{% for a in (1..1) %}".repeat(64) + "x{{ forloop.parentloop.length }}" + &"{% endfor %}".repeat(64);
    assert_eq!(render(&source, &json!({})).unwrap(), "x1");
}

/// Words and marks of the language, and anything else.
fn soup() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "{{",
        "}}",
        "{%",
        "%}",
        "{%-",
        "-%}",
        "{{-",
        "-}}",
        "{% if a %}",
        "{% elsif b %}",
        "{% else %}",
        "{% endif %}",
        "{% unless a %}",
        "{% endunless %}",
        "{% for x in b %}",
        "{% for x in (1..99) reversed limit:a %}",
        "{% endfor %}",
        "{% case a %}",
        "{% when b, 'x' %}",
        "{% endcase %}",
        "{% assign a = ",
        "{% capture c %}",
        "{% endcapture %}",
        "{% break %}",
        "{% continue %}",
        "{% cycle a, b %}",
        "{% increment a %}",
        "{% raw %}",
        "{% endraw %}",
        "{% comment %}",
        "{% endcomment %}",
        "{% liquid\n",
        "{% tablerow x in b cols:a %}",
        "{% endtablerow %}",
        "{% t %}",
        "{% endt %}",
        "{{ a }}",
        "{{ b[0].c }}",
        "{{ c | json }}",
        "{{ forloop.index }}",
        " | ",
        ": ",
        ", ",
        "a",
        "b.c",
        "c",
        "(1..a)",
        "'x'",
        "\"",
        "'",
        "[",
        "]",
        "(",
        ")",
        ".",
        "..",
        "==",
        "<",
        "contains",
        "and",
        "or",
        "not",
        "nil",
        "empty",
        "blank",
        "-1",
        "9223372036854775807",
        "1.5",
        "é",
        "👩‍👩‍👧",
        "\u{0}",
        "\n",
        " ",
        "\\",
    ]);
    let filter = prop::sample::select(filter::ALL.iter().map(|filter| filter.name).collect::<Vec<_>>());
    let piece = prop_oneof![
        6 => known.prop_map(str::to_owned),
        2 => filter.prop_map(|name| format!(" | {name}")),
        1 => any::<String>(),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn any_template_with_any_scope_renders_within_bounds_or_fails(
        source in soup(), a in any_json(), b in any_json(), c in any_json(),
    ) {
        if let Ok(template) = Template::parse(&source, &Default::default())
            && let Ok(text) = template.render("body", &json!({"a": a, "b": b, "c": c}), &budget(FEED_BYTES))
        {
            prop_assert!(text.len() <= FEED_BYTES);
        }
    }

    #[test]
    fn text_without_tags_is_left_as_it_is(text in "[^{]*") {
        prop_assert_eq!(render(&text, &json!({})).unwrap(), text);
    }
}
