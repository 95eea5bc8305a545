//! The document against the router: what is described is served, and nothing else.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Endpoint, TOKEN};

const METHODS: [&str; 7] = ["get", "put", "post", "delete", "options", "patch", "trace"];

async fn document(token: Option<&str>) -> (Endpoint, Value) {
    let endpoint = Endpoint::start(token);
    let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let (status, text) = endpoint.send("GET /v1/openapi.json", &authorization).await;
    assert_eq!(status, 200, "{text}");
    (endpoint, serde_json::from_str(&text).expect("JSON"))
}

/// Method and path of each operation.
fn operations(document: &Value) -> BTreeSet<String> {
    let paths = document["paths"].as_object().expect("paths").iter();
    let of = |(path, item): (&String, &Value)| {
        item.as_object().expect("operations").keys().map(|method| format!("{method} {path}")).collect::<Vec<_>>()
    };
    paths.flat_map(of).collect()
}

#[tokio::test(flavor = "current_thread")]
async fn every_request_of_the_guide_is_described() {
    let (_, document) = document(None).await;
    assert_eq!(document["openapi"], "3.1.0");
    let guide = include_str!("../../../../docs/api.md");
    let of_the_guide = guide.lines().filter_map(|line| {
        let (method, path) = line.strip_prefix("| `")?.split_once('`')?.0.split_once(' ')?;
        Some(format!("{} {path}", method.to_lowercase()))
    });
    let for_probes = ["get /metrics", "get /livez", "get /readyz"].map(str::to_owned);
    assert_eq!(operations(&document), of_the_guide.chain(for_probes).collect());
}

#[tokio::test(flavor = "current_thread")]
async fn the_guide_names_every_code_and_every_status_of_an_error() {
    let (_, document) = document(Some(TOKEN)).await;
    let guide = include_str!("../../../../docs/api.md");
    for code in document["components"]["schemas"]["ErrorCode"]["enum"].as_array().expect("codes") {
        assert!(guide.contains(&format!("`{}`", code.as_str().expect("text"))), "{code}");
    }
    for (path, item) in document["paths"].as_object().expect("paths") {
        for operation in item.as_object().expect("operations").values() {
            for status in operation["responses"].as_object().expect("responses").keys() {
                assert!(status == "200" || guide.contains(&format!("\n| {status} |")), "{path}: {status}");
            }
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn what_is_described_is_served_and_no_other_method_is() {
    let (endpoint, document) = document(None).await;
    for (path, item) in document["paths"].as_object().expect("paths") {
        // It never ends; the page's tests read it.
        if path == "/v1/events" {
            continue;
        }
        let place = path.replace("{group}", "app").replace("{revision}", "1");
        for method in METHODS {
            let request = format!("{} {place}", method.to_uppercase());
            let (status, body) = endpoint.send(&request, "").await;
            assert_eq!(item.get(method).is_none(), status == 405, "{request}: {status} {body}");
            let described = item.get(method).map(|operation| operation["responses"][status.to_string()].is_object());
            assert_ne!(described, Some(false), "{request}: {status} {body}");
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn every_reference_leads_somewhere() {
    fn check(document: &Value, part: &Value, count: &mut usize) {
        match part {
            Value::Object(object) => {
                if let Some(Value::String(reference)) = object.get("$ref") {
                    let place = reference.strip_prefix('#').expect("of this document");
                    assert!(document.pointer(place).is_some(), "{reference}");
                    *count += 1;
                }
                object.values().for_each(|part| check(document, part, count));
            }
            Value::Array(parts) => parts.iter().for_each(|part| check(document, part, count)),
            _ => {}
        }
    }
    let (_, document) = document(None).await;
    let mut count = 0;
    check(&document, &document, &mut count);
    assert!(count > 100, "{count}");
}

#[tokio::test(flavor = "current_thread")]
async fn the_token_is_asked_for_where_there_is_one() {
    let (_, document) = document(Some(TOKEN)).await;
    let bearer = json!({ "type": "http", "scheme": "bearer" });
    assert_eq!(document["components"]["securitySchemes"]["token"], bearer);
    for (path, item) in document["paths"].as_object().expect("paths") {
        let is_open = ["/livez", "/readyz"].contains(&path.as_str());
        for operation in item.as_object().expect("operations").values() {
            assert_eq!(operation.get("security").is_none(), is_open, "{path}");
            assert_eq!(operation["responses"].get("401").is_none(), is_open, "{path}");
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn without_a_token_all_but_the_probes_may_be_refused_to_a_foreign_page() {
    let (_, document) = document(None).await;
    for (path, item) in document["paths"].as_object().expect("paths") {
        let is_open = ["/livez", "/readyz"].contains(&path.as_str());
        for operation in item.as_object().expect("operations").values() {
            assert_eq!(operation["responses"].get("403").is_none(), is_open, "{path}");
        }
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_webhook_is_put_whole_and_shown_without_its_path() {
    let (_, document) = document(None).await;
    let schemas = &document["components"]["schemas"];
    let webhook = |of: &str| schemas[of]["properties"]["webhook"].clone();
    assert_eq!(webhook("ListedScalingGroup")["pattern"], "^https?://[^/]+$");
    assert_ne!(webhook("ScalingGroup"), webhook("ListedScalingGroup"));
    assert_eq!(webhook("ScalingGroup"), webhook("UnnamedScalingGroup"));
}

#[tokio::test(flavor = "current_thread")]
async fn bodies_have_the_bounds_that_are_kept() {
    let (_, document) = document(None).await;
    let schemas = &document["components"]["schemas"];
    let list = &schemas["Targets_NewTarget"]["properties"]["targets"];
    assert_eq!((&list["minItems"], &list["maxItems"]), (&json!(1), &json!(1000)));
    let target = &schemas["NewTarget"]["properties"];
    assert_eq!((&target["port"]["minimum"], &target["port"]["maximum"]), (&json!(1), &json!(65535)));
    assert_eq!((&target["weight"]["minimum"], &target["weight"]["maximum"]), (&json!(0), &json!(100)));
    for name in ["Targets_NewTarget", "Targets_Which", "Targets_TargetUpdate", "NewTarget", "Which", "TargetUpdate"] {
        assert_eq!(schemas[name]["additionalProperties"], json!(false), "{name}");
    }
    assert_eq!(schemas["NewTarget"]["required"], json!(["port"]));
}
