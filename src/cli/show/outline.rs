//! Any JSON as indented lines: for answers whose shape is the API's business alone, such as that of explain.
//!
//! ```text
//!   {"a": 1, "b": {"c": [1, 2]}, "list": [{"x": 1}, {"x": 2}]}      a: 1
//!                                                                   b:
//!                                                                     c: 1, 2
//!                                                                   list:
//!                                                                     X
//!                                                                     1
//!                                                                     2
//! ```

use serde_json::{Map, Value};

use super::plain;
use super::table::{Align, Table};

/// Lines for people. As deep as the JSON, which `serde_json` bounds.
pub(in crate::cli) fn outline(value: &Value) -> String {
    let mut text = String::new();
    write(value, "", &mut text);
    text
}

fn write(value: &Value, indent: &str, out: &mut String) {
    match (value, line(value)) {
        (_, Some(line)) => *out += &[indent, &line, "\n"].concat(),
        (Value::Object(object), None) => object.iter().for_each(|(key, value)| write_entry(key, value, indent, out)),
        (Value::Array(list), None) => write_list(list, indent, out),
        _ => {}
    }
}

fn write_entry(key: &str, value: &Value, indent: &str, out: &mut String) {
    let key = plain(key);
    if let Some(line) = line(value) {
        *out += format!("{indent}{key}: {line}").trim_end();
        *out += "\n";
        return;
    }
    *out += &[indent, &key, ":\n"].concat();
    write(value, &format!("{indent}  "), out);
}

fn write_list(list: &[Value], indent: &str, out: &mut String) {
    if let Some(table) = table(list) {
        *out += &table.to_text(indent);
        return;
    }
    let deeper = format!("{indent}  ");
    for element in list {
        let mut lines = String::new();
        write(element, &deeper, &mut lines);
        // The mark takes the place of the first line's indent.
        *out += &[indent, "- ", lines.strip_prefix(&deeper).unwrap_or(&lines)].concat();
    }
}

/// A value that fits into one line: no object, no list of objects or lists.
fn line(value: &Value) -> Option<String> {
    match value {
        Value::Null => Some("-".to_owned()),
        Value::Bool(bool) => Some(if *bool { "yes" } else { "no" }.to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::String(text) => Some(plain(text)),
        Value::Array(list) if list.is_empty() => Some("none".to_owned()),
        Value::Array(list) => {
            let is_simple = |value: &Value| !value.is_array() && !value.is_object();
            let lines: Option<Vec<String>> =
                list.iter().map(|value| line(value).filter(|_| is_simple(value))).collect();
            Some(lines?.join(", "))
        }
        Value::Object(object) => object.is_empty().then(|| "none".to_owned()),
    }
}

/// Objects whose values fit into a line each, as rows. Columns come in the order in which they first occur.
fn table(list: &[Value]) -> Option<Table> {
    let objects: Vec<&Map<String, Value>> = list.iter().map(Value::as_object).collect::<Option<_>>()?;
    let mut values = objects.iter().flat_map(|object| object.values());
    if values.clone().any(|value| line(value).is_none()) || values.all(Value::is_null) {
        return None;
    }
    let mut keys: Vec<&String> = Vec::new();
    for key in objects.iter().flat_map(|object| object.keys()) {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    let titles: Vec<String> = keys.iter().map(|key| key.to_uppercase()).collect();
    let align = |key: &String| {
        let numbers =
            objects.iter().filter_map(|object| object.get(key)).all(|value| value.is_number() || value.is_null());
        if numbers { Align::Right } else { Align::Left }
    };
    let columns: Vec<(&str, Align)> =
        titles.iter().zip(&keys).map(|(title, key)| (title.as_str(), align(key))).collect();
    let mut table = Table::new(&columns);
    for object in objects {
        let cell = |key: &&String| object.get(*key).filter(|value| !value.is_null()).and_then(line).unwrap_or_default();
        table.push(keys.iter().map(cell).collect());
    }
    Some(table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn objects_are_indented_and_lists_of_flat_objects_are_tables() {
        let answer = json!({
            "listener": "web",
            "target": { "address": "10.0.0.5", "port": 80, "zone": null },
            "rules": [{ "holds": false, "priority": 1, "why": "host" }, { "holds": true, "priority": 20 }],
            "shards": [0, 1],
            "warnings": [],
        });
        let shown = "listener: web\nrules:\n  HOLDS  PRIORITY  WHY\n  no            1  host\n  yes          20\nshards: 0, 1\n\
                     target:\n  address: 10.0.0.5\n  port: 80\n  zone: -\nwarnings: none\n";
        assert_eq!(outline(&answer), shown);
    }

    #[test]
    fn elements_that_are_deeper_are_marked_one_by_one() {
        let answer = json!({ "rules": [{ "failed": [{ "why": "host" }], "priority": 1 }, { "priority": 2 }, "x"] });
        let shown = "rules:\n  - failed:\n      WHY\n      host\n    priority: 1\n  - priority: 2\n  - x\n";
        assert_eq!(outline(&answer), shown);
    }

    #[test]
    fn a_bare_value_is_a_line() {
        assert_eq!(outline(&json!("a\u{1b}[m")), "a\\u{1b}[m\n");
        assert_eq!(outline(&json!(null)), "-\n");
        assert_eq!(outline(&json!([])), "none\n");
        assert_eq!(outline(&json!([[1, 2], [[]]])), "- 1, 2\n- - none\n");
        assert_eq!(outline(&json!([{}, { "a": null }])), "- none\n- a: -\n");
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_json_can_be_shown_and_no_control_of_it_is(value in any_json()) {
            let text = outline(&value);
            prop_assert!(text.ends_with('\n'));
            prop_assert!(!text.chars().any(|c| c.is_control() && c != '\n'));
        }
    }
}
