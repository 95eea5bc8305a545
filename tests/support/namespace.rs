//! A network namespace for one test: addresses that the host does not have, on its loopback device.

use std::fmt::Write;
use std::net::Ipv4Addr;
use std::process::Command;

const INSIDE: &str = "WEIR_TEST_INSIDE_NAMESPACE";

/// Runs `test` in a namespace that has these addresses: this binary again, with the one test `name`. Where none can be made
/// it says so, and the test counts as passed.
pub fn inside(name: &str, addresses: &[Ipv4Addr], test: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return test();
    }
    if !Command::new("unshare").args(["--net", "ip", "link"]).output().is_ok_and(|output| output.status.success()) {
        println!("skipped: no network namespace can be made here (it takes root and iproute2)");
        return;
    }
    let mut script = "ip link set lo up".to_owned();
    for address in addresses {
        let _ = write!(script, " && ip address add {address}/32 dev lo");
    }
    script += " && exec \"$@\"";
    let output = Command::new("unshare")
        .args(["--net", "sh", "-ec", &script, "sh"])
        .arg(std::env::current_exe().expect("this test binary"))
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}
