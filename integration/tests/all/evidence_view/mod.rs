//! `countersign evidence view`: the page, its verifier under Node, and the page in Chromium.

mod hostile;

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Output},
};

use countersign_integration::binary;

use crate::foreign::{folder, run};

const GOOD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../clients/conformance/evidence.json");

fn view(arguments: &[&Path], flags: &[&str]) -> Output {
    let [bundle, page] = arguments else { panic!("a bundle and a page") };
    let mut command = Command::new(binary().unwrap());
    command.args(["evidence", "view"]).arg(bundle).arg("--output").arg(page).args(flags).output().unwrap()
}

#[track_caller]
fn written(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && output.stderr.is_empty(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

#[track_caller]
fn refused(output: &Output) -> String {
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    said
}

fn tests(file: &str) -> Command {
    let mut tests = Command::new("node");
    tests.args(["--test", file]).current_dir(folder("evidence"));
    tests
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_verifier_passes_the_vectors() {
    run(tests("verify.test.mjs")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_checks_itself_in_chromium() {
    let place = tempfile::tempdir().unwrap();
    let file = |name: &str| place.path().join(name);
    fs::write(file("hostile.json"), hostile::bundle()).unwrap();
    fs::write(file("texts.json"), serde_json::to_vec(&hostile::texts()).unwrap()).unwrap();
    written(&view(&[Path::new(GOOD), &file("good.html")], &[]));
    written(&view(&[&file("hostile.json"), &file("hostile.html")], &[]));
    let mut tests = tests("browser.test.mjs");
    tests.env("FOLDER", place.path()).env("OTHER_KEY", hostile::other_key("countersign.example/log"));
    run(tests).await;
}

#[test]
fn a_page_is_made_of_what_holds_and_replaces_nothing() {
    let place = tempfile::tempdir().unwrap();
    let file = |name: &str| place.path().join(name);
    let good = Path::new(GOOD);
    let said = written(&view(&[good, &file("a.html")], &[]));
    assert!(
        said.contains("8 events; everything that was checked holds for the key countersign.example/log+"),
        "{said}"
    );
    let first = fs::read(file("a.html")).unwrap();
    // The same bundle, the same page.
    written(&view(&[good, &file("b.html")], &[]));
    assert_eq!(fs::read(file("b.html")).unwrap(), first);

    fs::write(file("b.html"), "precious").unwrap();
    symlink(file("b.html"), file("link.html")).unwrap();
    for name in ["b.html", "link.html"] {
        let said = refused(&view(&[good, &file(name)], &[]));
        assert!(said.contains("exists already, and was not changed") && said.contains("--force"), "{said}");
    }
    assert_eq!(fs::read(file("b.html")).unwrap(), b"precious");
    written(&view(&[good, &file("b.html")], &["--force"]));
    assert_eq!(fs::read(file("b.html")).unwrap(), first);

    let forged = fs::read_to_string(good).unwrap().replace("refund twice", "refund never");
    fs::write(file("forged.json"), forged).unwrap();
    let said = refused(&view(&[&file("forged.json"), &file("c.html")], &[]));
    assert!(said.contains("events[5].disclosed[0] (log index 6): purpose is not the text"), "{said}");
    assert!(said.contains("--even-if-it-does-not-hold"), "{said}");
    assert!(!file("c.html").exists());
    let said = written(&view(&[&file("forged.json"), &file("c.html")], &["--even-if-it-does-not-hold"]));
    assert!(said.contains("it does not hold: events[5].disclosed[0]"), "{said}");

    assert!(refused(&view(&[&file("none.json"), &file("d.html")], &[])).contains("cannot read"));
    assert!(refused(&view(&[good, &file("none/d.html")], &[])).contains("cannot write"));
    let left: Vec<_> = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 5, "{left:?}");
}
