//! The HTML view of a bundle: one file that shows it and checks it in the browser, with a content security policy that
//! permits only its own script and style. A pure function of the bundle.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::STANDARD};

const TEMPLATE: &str = include_str!("view.html");
const STYLE: &str = include_str!("style.css");
const FORMS: &str = include_str!("forms.json");
const SCRIPTS: [&str; 3] = [include_str!("read.js"), include_str!("verify.js"), include_str!("view.js")];

/// The page that shows and checks `bundle`, whatever its bytes are.
///
/// The bundle is in it as base64, which the browser decodes to the same bytes: no text of an agent is ever in the HTML.
/// The page's policy permits its own script and style, by their hashes, and nothing else.
pub(super) fn page(bundle: &[u8]) -> String {
    let script = script();
    let policy = format!(
        "default-src 'none'; script-src '{}'; style-src '{}'; base-uri 'none'; form-action 'none'; \
         require-trusted-types-for 'script'; trusted-types 'none'",
        hash(&script),
        hash(STYLE)
    );
    let bundle = STANDARD.encode(bundle);
    let parts = [
        ("policy", &*policy),
        ("version", env!("CARGO_PKG_VERSION")),
        ("style", STYLE),
        ("bundle", &bundle),
        ("script", &script),
    ];
    fill(TEMPLATE, &parts)
}

/// The one script of the page.
fn script() -> String {
    format!("\"use strict\";\nconst FORMS = {};\n{}", FORMS.trim_end(), SCRIPTS.join("\n"))
}

fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(digest(&SHA256, text.as_bytes())))
}

/// Puts parts where the template names them. A part is not searched for names of others.
fn fill(template: &str, parts: &[(&str, &str)]) -> String {
    let mut pieces = template.split("{{");
    let mut filled = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, rest) = piece.split_once("}}").unwrap_or((piece, ""));
        filled.extend(parts.iter().filter(|(part, _)| *part == name).map(|(_, text)| *text));
        filled.push_str(rest);
    }
    filled
}

#[cfg(test)]
mod tests {
    use countersign_ledger::leaf::Kind;

    use super::*;

    #[test]
    fn the_script_cannot_end_its_element() {
        for text in [&*script(), STYLE] {
            let text = text.to_ascii_lowercase();
            assert!(["</", "<!--", "\r"].iter().all(|end| !text.contains(end)));
        }
    }

    #[test]
    fn every_part_is_in_the_page_once() {
        let page = page(b"</script><script>alert(1)</script>");
        assert!(!page.contains("alert(1)") && !page.contains("{{"));
        assert_eq!(page.matches("<script").count(), 2);
        for part in
            [STYLE, &script(), "PC9zY3JpcHQ+PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==", &hash(&script()), &hash(STYLE)]
        {
            assert_eq!(page.matches(part).count(), 1, "{part}");
        }
        // What it names from outside of itself, it would load.
        assert!(!page.contains("http:") && !page.contains("https:") && !page.contains("src="));
    }

    #[test]
    fn the_verifier_can_be_read_in_one_sitting() {
        let lines: usize = SCRIPTS[..2].iter().map(|script| script.lines().count()).sum();
        assert!(lines < 600, "{lines}");
    }

    #[test]
    fn every_kind_of_event_has_its_rule_and_sentence() {
        let forms: serde_json::Value = serde_json::from_str(FORMS).unwrap();
        let kinds = forms["kinds"].as_object().unwrap();
        let mut named: Vec<&str> = kinds.keys().map(String::as_str).collect();
        let mut wanted: Vec<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        named.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(named, wanted);
        assert!(kinds.values().all(|kind| kind["says"].as_str().unwrap().ends_with(['.', ']'])));
    }
}
