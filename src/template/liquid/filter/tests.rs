//! What each filter makes of its values.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::Template;
use super::super::tests::{budget, check, render};
use super::ALL;
use crate::model::recipient::RecipientRef;
use crate::template::budget::EMAIL_BYTES;
use crate::template::error::Cause;
use crate::template::records::{self, Records};
use crate::template::tests::any_json;

#[test]
fn filters_of_texts() {
    let scope = json!({
        "name": "ann lee", "html": "<a href=\"x\">Tom & 'Jo'</a>", "text": "one two  three four", "csv": "a,b,,", "e": "é👍x",
        "v": "1.10.0", "json": "{\"a\":[1,{\"b\":null}]}", "list": [1, "b"], "none": null, "no": false, "lines": "a\r\nb\nc",
    });
    check(
        &scope,
        &[
            ("{{ name | append: '!' | prepend: '@' }}{{ 1 | append: 2 }}{{ none | append: 'x' }}", "@ann lee!12x"),
            ("{{ name | capitalize }} {{ 'aB cD' | capitalize }} {{ 'aB cD' | titlecase }}", "Ann lee Ab cd AB CD"),
            ("{{ name | upcase }}{{ 'ÀB' | downcase }}{{ 'ß' | upcase }}", "ANN LEEàbSS"),
            ("[{{ ' a ' | strip }}{{ ' a ' | lstrip }}{{ ' a ' | rstrip }}]", "[aa  a]"),
            ("{{ html | escape }}", "&lt;a href=&quot;x&quot;&gt;Tom &amp; &#39;Jo&#39;&lt;/a&gt;"),
            ("{{ '1 < 2 &amp; 3' | escape_once }} {{ html | strip_html }}", "1 &lt; 2 &amp; 3 Tom & 'Jo'"),
            ("{{ lines | newline_to_br }}|{{ lines | strip_newlines }}", "a<br />\nb<br />\nc|abc"),
            ("{{ 'a b&c=ü' | url_encode }} {{ 'a+b%26c%3D%C3%BC' | url_decode }}", "a+b%26c%3D%C3%BC a b&c=ü"),
            (
                "{{ 'aab' | replace: 'a', 'x' }}{{ 'aab' | replace_first: 'a', 'x' }}{{ 'aab' | replace_last: 'a', 'x' }}",
                "xxbxabaxb",
            ),
            (
                "{{ 'aab' | remove: 'a' }}{{ 'aab' | remove_first: 'a' }}{{ 'aab' | remove_last: 'a' }}{{ 'a' | replace: 'a' }}",
                "babab",
            ),
            (
                "{{ name | truncate: 5 }}|{{ name | truncate: 5, '…' }}|{{ name | truncate: 50 }}|{{ name | truncate: 2 }}",
                "an...|ann …|ann lee|...",
            ),
            (
                "{{ text | truncatewords: 2 }}|{{ text | truncatewords: 4 }}|{{ text | truncatewords: 1, '--' }}",
                "one two...|one two  three four|one--",
            ),
            (
                "{{ text | split: ' ' | size }}{{ csv | split: ',' | json }}{{ 'é👍' | split: '' | json }}{{ none | split: ',' | size }}",
                "4[\"a\",\"b\"][\"é\",\"👍\"]0",
            ),
            (
                "{{ e | slice: 1 }}{{ e | slice: -2, 2 }}{{ e | slice: 9 }}{{ e | slice: -9, 20 }}{{ list | slice: 1, 5 | json }}",
                "👍👍x[\"b\"]",
            ),
            ("{{ e | size }}{{ e | first }}{{ e | last }}", "3éx"),
            (
                "{{ 0 | pluralize: 'item', 'items' }} {{ 1 | pluralize: 'item', 'items' }} {{ '1' | pluralize: 'a', 'b' }} {{ none | pluralize: 'a', 'b' }}",
                "items item a b",
            ),
            (
                "{{ v | compare_versions: '1.9' }}{{ v | compare_versions: '1.10' }}{{ v | compare_versions: '2' }}",
                "10-1",
            ),
            (
                "{{ '' | default: 'd' }}{{ none | default: 'd' }}{{ no | default: 'd' }}{{ no | default: 'd', allow_false: true }}{{ 0 | default: 'd' }}{{ ' ' | default: 'd' }}",
                "dddfalse0 ",
            ),
            (
                "{{ json | from_json | json }}{{ list | json }}{{ none | json }}{{ 'a\"</' | json }}",
                "{\"a\":[1,{\"b\":null}]}[1,\"b\"]null\"a\\\"</\"",
            ),
            ("{% assign o = json | from_json %}{{ o.a[0] }}{{ o.a.last | json }}{{ o.size }}", "1{\"b\":null}1"),
            ("{{ 'pro' | equals: 'pro' }}{{ 1 | equals: '1' }}", "truefalse"),
            ("{{ 'abc' | md5 }}", "900150983cd24fb0d6963f7d28e17f72"),
            ("{{ 'abc' | sha256 }}", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                "{{ 'what do ya want for nothing?' | hmac_sha256: 'Jefe' }}",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            ("{{ 'a?é' | base64_encode }} {{ 'YT/DqQ==' | base64_decode }}", "YT/DqQ== a?é"),
            ("{{ 'a?é' | base64_url_safe_encode }} {{ 'YT_DqQ==' | base64_url_safe_decode }}", "YT_DqQ== a?é"),
            (
                "{{ '**a** <script>b</script>' | from_markdown }}",
                "<p><strong>a</strong> &lt;script&gt;b&lt;/script&gt;</p>",
            ),
        ],
    );
}

#[test]
fn filters_of_numbers() {
    check(
        &json!({"n": 7, "f": 2.5, "s": "3.5", "none": null}),
        &[
            (
                "{{ n | plus: 1 }} {{ n | minus: 10 }} {{ n | times: f }} {{ s | plus: 1 }} {{ none | plus: 1 }}",
                "8 -3 17.5 4.5 1",
            ),
            (
                "{{ n | divided_by: 2 }} {{ n | divided_by: 2.0 }} {{ -7 | divided_by: 2 }} {{ f | divided_by: 2 }}",
                "3 3.5 -4 1.25",
            ),
            ("{{ n | modulo: 4 }} {{ -7 | modulo: 4 }} {{ f | modulo: 2 }}", "3 1 0.5"),
            ("{{ 0.1 | plus: 0.2 }} {{ 1.1 | times: 3 }} {{ 100 | times: 1.1 }} {{ 2.0 | times: 2 }}", "0.3 3.3 110 4"),
            (
                "{{ f | round }} {{ -2.5 | round }} {{ 3.14159 | round: 2 }} {{ f | ceil }} {{ f | floor }} {{ '1.2' | ceil }}",
                "3 -3 3.14 3 2 2",
            ),
            (
                "{{ -3 | abs }} {{ -1.5 | abs }} {{ n | at_least: 9 }} {{ n | at_most: 5 }} {{ n | at_most: 9 }}",
                "3 1.5 9 5 7",
            ),
            ("{{ 9223372036854775807 | plus: 1 }}", "9223372036854780000"),
        ],
    );
}

#[test]
fn filters_of_lists() {
    let scope = json!({
        "nums": [3, 1, 2], "tags": ["b", "A", "a", "b"], "mixed": [null, "x", 2, true, 1], "none": null,
        "people": [
            {"n": "Bo", "age": 30, "team": {"id": 1}}, {"n": "al", "age": 25, "team": {"id": 2}}, {"n": "Cy", "team": {"id": 1}},
        ],
    });
    check(
        &scope,
        &[
            ("{{ nums | first }}{{ nums | last }}{{ nums | size }}{{ none | first }}{{ none | size }}", "3230"),
            ("{{ tags | join }}|{{ tags | join: '' }}|{{ 'a' | join: ',' }}|{{ none | join }}", "b A a b|bAab|a|"),
            (
                "{{ nums | sort | join }}{{ nums | reverse | join }}{{ mixed | sort | json }}",
                "1 2 32 1 3[1,2,\"x\",true,null]",
            ),
            ("{{ tags | sort | join }}|{{ tags | sort_natural | join }}", "A a b b|A a b b"),
            (
                "{{ people | sort: 'age' | map: 'n' | join }}|{{ people | sort_natural: 'n' | map: 'n' | join }}",
                "al Bo Cy|al Bo Cy",
            ),
            ("{{ people | map: 'team.id' | uniq | join }}|{{ people | map: 'x' | json }}", "1 2|[null,null,null]"),
            (
                "{{ people | where: 'age' | size }}{{ people | where: 'team.id', 1 | map: 'n' | join }}{{ people | reject: 'age', 30 | size }}",
                "2Bo Cy2",
            ),
            (
                "{% assign p = people | find: 'n', 'al' %}{{ p.age }}{{ people | find_index: 'n', 'Cy' }}{{ people | has: 'age', 9 }}{{ people | find_index: 'n', 'Di' }}",
                "252false",
            ),
            (
                "{% assign g = people | group_by: 'team.id' %}{% for t in g %}{{ t.name }}:{{ t.items | map: 'n' | join }};{% endfor %}",
                "1:Bo Cy;2:al;",
            ),
            (
                "{{ mixed | compact | size }}{{ people | compact: 'age' | size }}{{ people | sum: 'age' }}{{ nums | sum }}",
                "42556",
            ),
            (
                "{{ nums | concat: tags | size }}{{ nums | push: 9 | join }}{{ nums | unshift: 0 | join }}{{ none | push: 1 | json }}",
                "73 1 2 90 3 1 2[1]",
            ),
            (
                "{{ tags | intersect: tags | join }}{{ tags | uniq | join }}{{ (1..4) | concat: nums | uniq | join }}",
                "b A ab A a1 2 3 4",
            ),
        ],
    );
}

#[test]
fn filters_of_times() {
    let scope = json!({
        "at": "2026-03-06T23:30:00Z", "day": "2026-03-06", "local": "2026-03-06T10:00:00-05:00", "unix": 1_772_839_800,
        "timestamp": "2026-01-31T17:12:59.958652Z", "word": "tomorrow", "none": null, "micro": "2026-03-06 23:30:00.123456Z",
    });
    check(
        &scope,
        &[
            (
                "{{ at | date: '%b %-d, %Y' }} {{ at | date: '%A %e %l:%M %p %j %U' }}",
                "Mar 6, 2026 Friday  6 11:30 PM 065 09",
            ),
            (
                "{{ day | date: '%A' }} {{ day | date: '%H:%M', 'America/New_York' }} {{ micro | date: '%s' }}",
                "Friday 00:00 1772839800",
            ),
            (
                "{{ unix | date: '%H:%M' }} {{ '1772839800' | date: '%H:%M' }} {{ local | date: '%H:%M' }}",
                "23:30 23:30 15:00",
            ),
            ("{{ at | date: '%Y-%m-%d %H:%M %Z', 'Asia/Tokyo' }}", "2026-03-07 08:30 JST"),
            (
                "{{ at | timezone: 'America/New_York' | date: '%H:%M %Z' }} {{ at | timezone: 'America/New_York' }}",
                "18:30 EST 2026-03-06T18:30:00-05:00",
            ),
            (
                "{{ 'now' | date: '%F' }} {{ 'today' | date: '%Y' }} {{ word | date: '%F' }}{{ none | date: '%F' }}{{ word | timezone: 'Asia/Tokyo' }}",
                "2026-01-31 2026 tomorrowtomorrow",
            ),
            ("{{ at | date }}", "Friday, March 6, 2026 at 11:30 pm +0000"),
        ],
    );
}

#[test]
fn a_filter_says_what_it_cannot_read() {
    let table = [
        ("{{ 'x' | plus: 1 }}", "`plus`: a text is not a number"),
        ("{{ list | times: 2 }}", "`times`: a list is not a number"),
        ("{{ 1 | divided_by: 0 }}", "`divided_by`: cannot divide by zero"),
        ("{{ 1 | modulo: nil }}", "`modulo`: cannot divide by zero"),
        ("{{ 1 | round: 99 }}", "`round`: at most 12 decimals"),
        ("{{ list | concat: 'x' }}", "`concat`: a text is not a list"),
        ("{{ day | date: '%F', 'Mars' }}", "`date`: there is no such time zone; write one as Europe/Berlin"),
        ("{{ '{' | from_json }}", "`from_json`: the text is not JSON"),
        ("{{ '?' | base64_decode }}", "`base64_decode`: the text is not base64"),
        ("{% for x in list limit:'x' %}{% endfor %}", "`for`: a text is not a number"),
    ];
    for (template, expected) in table {
        let error = render(&format!("a\n {template}"), &json!({"day": "2026-03-06", "list": []})).unwrap_err();
        assert_eq!(error.cause, Cause::Template(expected.into()), "{template}");
        assert_eq!((error.template.as_str(), error.at.map(|at| at.line)), ("body", Some(2)));
    }
    assert!(render("{{ day | date: '%' }}", &json!({"day": "2026-03-06"})).is_err());
}

/// Every filter of Liquid's own documentation, and those that Knock adds (`knock-engine.md` section 6.3).
const EXPECTED: &[&str] = &[
    "abs",
    "append",
    "at_least",
    "at_most",
    "base64_decode",
    "base64_encode",
    "base64_url_safe_decode",
    "base64_url_safe_encode",
    "capitalize",
    "ceil",
    "compact",
    "concat",
    "date",
    "default",
    "divided_by",
    "downcase",
    "escape",
    "escape_once",
    "find",
    "find_index",
    "first",
    "floor",
    "has",
    "join",
    "last",
    "lstrip",
    "map",
    "minus",
    "modulo",
    "newline_to_br",
    "plus",
    "prepend",
    "reject",
    "remove",
    "remove_first",
    "remove_last",
    "replace",
    "replace_first",
    "replace_last",
    "reverse",
    "round",
    "rstrip",
    "size",
    "slice",
    "sort",
    "sort_natural",
    "split",
    "strip",
    "strip_html",
    "strip_newlines",
    "sum",
    "times",
    "truncate",
    "truncatewords",
    "uniq",
    "upcase",
    "url_decode",
    "url_encode",
    "where",
    // Knock's.
    "compare_versions",
    "currency",
    "equals",
    "format_date_in_locale",
    "format_datetime_in_locale",
    "format_number",
    "from_json",
    "from_markdown",
    "hmac_sha256",
    "intersect",
    "json",
    "md5",
    "object",
    "pluralize",
    "rounded_currency",
    "sha256",
    "subscriptions",
    "t",
    "tenant",
    "timezone",
    "titlecase",
    "user",
];

#[test]
fn every_filter_that_templates_may_expect_is_there_and_its_usage_is_a_template() {
    for name in EXPECTED {
        assert!(super::find(name).is_some(), "there is no filter `{name}`");
    }
    for (index, filter) in ALL.iter().enumerate() {
        assert!(ALL[..index].iter().all(|other| other.name != filter.name), "{} is there twice", filter.name);
        let closed = if filter.usage.starts_with("{% if") { "{% endif %}" } else { "" };
        let usage = format!("{}{closed}", filter.usage);
        let parsed = Template::parse(&usage, &Default::default());
        assert!(usage.contains(filter.name) && parsed.is_ok(), "{usage}: {parsed:?}");
        assert_eq!(parsed.unwrap().foresee(), [], "{usage}");
    }
}

/// A store of one user, who subscribes to something.
struct Ada;

impl Records for Ada {
    fn recipient(&self, reference: &RecipientRef) -> Result<Option<Value>, String> {
        let known = ["$users/ada", "$tenants/acme", "teams/red"];
        let key = format!("{}/{}", reference.collection, reference.id);
        Ok(known.contains(&key.as_str()).then(|| json!({"id": reference.id, "of": key})))
    }

    fn subscriptions(&self, _: &RecipientRef) -> Result<Vec<Value>, String> {
        Ok(vec![json!({"object": {"id": "red"}, "properties": {"role": "lead"}})])
    }
}

#[test]
fn filters_of_what_is_stored() {
    let template = "{{ id | user | json }}{{ 'acme' | tenant | json }}{{ 'red' | object: 'teams' | json }}\
        {{ 'bo' | user | json }}{{ none | user | json }}{% assign all = id | subscriptions %}{{ all[0].properties.role }}\
        {{ 'bo' | subscriptions | json }}";
    let scope = json!({"id": "ada"});
    let nothing = "nullnullnullnullnullnull";
    assert_eq!(render(template, &scope).as_deref(), Ok(nothing), "without a store");
    let expected = "{\"id\":\"ada\",\"of\":\"$users/ada\"}{\"id\":\"acme\",\"of\":\"$tenants/acme\"}\
        {\"id\":\"red\",\"of\":\"teams/red\"}nullnullleadnull";
    {
        let _found = records::open(Ada);
        assert_eq!(render(template, &scope).as_deref(), Ok(expected));
        let many = "{% for n in (1..2000) %}{% assign x = id | user %}{% endfor %}";
        assert!(matches!(render(many, &scope).unwrap_err().cause, Cause::Budget(_)), "it reads without end");
    }
    assert_eq!(render(template, &scope).as_deref(), Ok(nothing), "it is closed again");
}

/// A call of `filter` with the names `b`, `c` and `d` as its arguments.
fn call(filter: &super::Filter, count: usize) -> String {
    let args = ["b", "c", "d"][..count].join(", ");
    format!("{{{{ a | {}{} }}}}", filter.name, if count > 0 { format!(": {args}") } else { args })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn any_filter_with_any_values_answers_or_refuses(
        a in any_json(), b in any_json(), c in any_json(), d in any_json(),
    ) {
        let scope = json!({"a": a, "b": b, "c": c, "d": d});
        for filter in ALL.iter().filter(|filter| filter.name != "t") {
            for count in filter.takes.clone() {
                let template = Template::parse(&call(filter, count), &Default::default()).unwrap();
                if let Err(error) = template.render("body", &scope, &budget(EMAIL_BYTES)) {
                    prop_assert!(error.at.is_some());
                }
            }
        }
    }
}
