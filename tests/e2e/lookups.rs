//! Templates look up what is stored: users, objects, tenants and subscriptions, by ids that they compute.

use serde_json::{Value, json};

use crate::server::{Setup, delay, email};

/// An email in Liquid.
fn liquid(text: &str) -> Value {
    let mut step = email("S");
    step["template"]["template_engine"] = json!("liquid");
    step["template"]["text_body"] = json!(text);
    step["template"]["settings"] = json!({"layout_key": null});
    step
}

#[tokio::test]
async fn a_template_finds_whom_it_names_as_they_are_stored_when_it_is_rendered() {
    let text = "{% assign owner = data.owner | user %}{{ owner.name }} {{ owner.plan }}|\
        {% assign project = data.project | object: 'projects' %}{{ project.name }} in {{ project.collection }}|\
        {{ data.company | tenant | json | from_json | map: 'name' | first }}|\
        {% assign all = recipient.id | subscriptions %}{{ all.size }}:{% for one in all %} {{ one.object.name }} as {{ one.properties.role }}{% endfor %}|\
        {{ 'nobody' | user | json }}{{ 'none' | object: 'projects' | json }}{{ missing | tenant | json }}{{ 'nobody' | subscriptions | json }}";
    let server = Setup::new().workflow("report", &[delay("hours", 1), liquid(text)]).start().await;
    for (path, body) in [
        ("/v1/users/olga", json!({"name": "Olga", "plan": "free"})),
        ("/v1/users/ann", json!({"email": "ann@x.test"})),
        ("/v1/objects/projects/apollo", json!({"name": "Apollo"})),
        ("/v1/objects/projects/gemini", json!({"name": "Gemini"})),
        ("/v1/tenants/acme", json!({"name": "Acme"})),
    ] {
        assert_eq!(server.put(path, body).await.status, 200, "{path}");
    }
    for (project, role) in [("apollo", "lead"), ("gemini", "guest")] {
        let body = json!({"recipients": ["ann"], "properties": {"role": role}});
        let reply = server.post(&format!("/v1/objects/projects/{project}/subscriptions"), body).await;
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    let data = json!({"owner": "olga", "project": "apollo", "company": "acme"});
    server.trigger("report", json!({"recipients": ["ann"], "data": data})).await;
    server.settle().await;
    server.put("/v1/users/olga", json!({"plan": "pro"})).await;
    server.advance("1h").await;
    let mails = server.mailbox().await;
    let expected = "Olga pro|Apollo in projects|Acme|2: Apollo as lead Gemini as guest|nullnullnullnull";
    assert_eq!(mails[0]["text"], expected);
}
