//! `[admin]` with TLS: which files it takes, and what is only said of them.

use std::sync::LazyLock;

use super::*;
use crate::tls::tests::{Pair, pair};

/// What the disk of these tests has as `admin.pem` and `admin.key`, and as `expired-admin.pem` and `other-admin.key`.
pub(super) struct Pairs {
    pub(super) good: Pair,
    pub(super) expired: Pair,
}

/// Made once: the text of a snapshot and its files must agree.
pub(super) static PAIRS: LazyLock<Pairs> =
    LazyLock::new(|| Pairs { good: pair("10.0.0.1", 2100), expired: pair("10.0.0.1", 1971) });

const TLS: &str = "certificate_file = \"admin.pem\"\nkey_file = \"admin.key\"\n";

fn mistakes(keys: &str) -> Vec<String> {
    printed(&format!("[admin]\n{keys}"), Mode::Run)
}

#[test]
fn with_both_files_the_endpoint_has_a_certificate() {
    let admin = good(&format!("[admin]\nlisten = \"10.0.0.1:9900\"\ntoken_file = \"t\"\n{TLS}")).admin;
    assert!(admin.certificate.is_some());
    assert_eq!(good(&format!("[admin]\n{TLS}")).admin.certificate, admin.certificate, "on loopback, too");
    assert_eq!(good("[admin]\nlisten = \"127.0.0.1:1\"\n").admin.certificate, None);
}

#[test]
fn one_file_without_the_other_or_tls_on_a_unix_socket_is_a_mistake() {
    for (keys, says) in [
        (
            "certificate_file = \"admin.pem\"",
            "lb.toml:2: [admin]: certificate_file: there is no key_file beside it; add key_file, or remove this one",
        ),
        (
            "\nkey_file = \"admin.key\"",
            "lb.toml:3: [admin]: key_file: there is no certificate_file beside it; add certificate_file, or remove this one",
        ),
    ] {
        assert_eq!(mistakes(keys), [says]);
    }
    let mend = "there is no TLS on a unix socket; remove it, or listen on an address";
    let both = ["lb.toml:3: [admin]: certificate_file", "lb.toml:4: [admin]: key_file"];
    let expected = both.map(|place| format!("{place}: {mend}"));
    assert_eq!(mistakes(&format!("listen = \"unix:/run/weir.sock\"\n{TLS}")), expected);
    // A mistake of its own is not reported a second time.
    assert_eq!(mistakes("certificate_file = \"admin.pem\"\nkey_file = 1").len(), 1);
}

#[test]
fn a_file_that_is_not_what_it_should_be_says_which_and_how_to_mend_it() {
    for (certificate, key, says) in [
        (
            "missing",
            "admin.key",
            "2: [admin]: certificate_file: missing cannot be read: No such file or directory (os error 2)",
        ),
        (
            "admin.pem",
            "missing",
            "3: [admin]: key_file: missing cannot be read: No such file or directory (os error 2)",
        ),
        ("large", "admin.key", "2: [admin]: certificate_file: large is larger than 64 KiB"),
        (
            "admin.key",
            "admin.key",
            "2: [admin]: certificate_file: admin.key holds no certificate in PEM; name a PEM file",
        ),
        ("text", "admin.key", "2: [admin]: certificate_file: text holds no certificate in PEM; name a PEM file"),
        ("admin.pem", "admin.pem", "3: [admin]: key_file: admin.pem holds no private key in PEM; name a PEM file"),
        ("admin.pem", "other-admin.key", "3: [admin]: key_file: other-admin.key: the key does not fit the certificate"),
        (
            "admin.pem",
            "open-admin.key",
            "3: [admin]: key_file: open-admin.key is open to every account of this machine (mode 0644); make a new one, and keep \
             others out: chmod 640 open-admin.key",
        ),
    ] {
        let mistakes = mistakes(&format!("certificate_file = \"{certificate}\"\nkey_file = \"{key}\""));
        assert_eq!(mistakes.len(), 1, "{mistakes:?}");
        assert!(mistakes[0].starts_with(&format!("lb.toml:{says}")), "{mistakes:?} is not {says}");
    }
    let both = mistakes("certificate_file = \"missing\"\nkey_file = \"missing\"");
    assert_eq!(both.len(), 2, "{both:?}");
}

#[test]
fn a_certificate_that_has_expired_is_a_warning() {
    let text = "[admin]\ncertificate_file = \"expired-admin.pem\"\nkey_file = \"other-admin.key\"\n";
    let at = |now| {
        let files = Files { folder: Path::new("/etc/weir"), read: &disk };
        parse_with("lb.toml", text, Mode::Run, &files, (&Known::default(), now)).expect("it is no mistake").warnings
    };
    assert_eq!(at(SystemTime::UNIX_EPOCH), [""; 0]);
    let warnings = at(SystemTime::UNIX_EPOCH + Duration::from_secs(2 * 365 * 24 * 3600));
    let says = "lb.toml:2: [admin]: certificate_file: /etc/weir/expired-admin.pem: it expired at 1971-12-31T00:00:00Z, so clients \
                refuse it; renew it; a reload takes it";
    assert_eq!(warnings, [says]);
}

#[test]
fn a_token_that_goes_over_a_network_in_the_clear_is_a_warning() {
    let warnings = |keys: &str| good(&format!("[admin]\n{keys}")).warnings;
    let remote = "listen = \"0.0.0.0:9900\"\ntoken_file = \"t\"\n";
    let says = "lb.toml:2: [admin]: listen: 0.0.0.0:9900 is reachable from other machines, and the token is sent in the clear; add \
                certificate_file and key_file, or listen on loopback or a unix socket";
    assert_eq!(warnings(remote), [says]);
    for fine in ["", "token_file = \"t\"", "listen = \"[::1]:1\"\ntoken_file = \"t\"", &format!("{remote}{TLS}")] {
        assert_eq!(warnings(fine), [""; 0], "{fine}");
    }
}

/// Which is spoken, http or https, is said at start; the certificate is that of the last reload.
#[test]
fn a_reload_exchanges_the_certificate_and_nothing_else() {
    let admin = |keys: &str| good(&format!("[admin]\n{keys}")).admin;
    let (old, plain) = (admin(TLS), admin(""));
    let new =
        admin("listen = \"127.0.0.1:1\"\ncertificate_file = \"expired-admin.pem\"\nkey_file = \"other-admin.key\"");
    let renewed = old.renewed(&new);
    assert_eq!((&renewed.listen, &renewed.certificate), (&old.listen, &new.certificate));
    assert_ne!(renewed.certificate, old.certificate);
    assert_eq!(old.renewed(&plain), old, "https does not turn into http");
    assert_eq!(plain.renewed(&old), plain, "nor the other way round");
}
