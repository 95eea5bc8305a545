//! nginx as a target: a real server that answers with its name and logs every request.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{client, place, wait_until};

pub struct Nginx {
    pub address: SocketAddr,
    process: Child,
    dir: TempDir,
}

/// Whether this host has nginx; says so if not.
pub fn is_installed() -> bool {
    super::is_installed("nginx")
}

impl Nginx {
    /// Starts one that answers every request with `name`, one a connection.
    pub fn start(name: &str) -> Self {
        Nginx::start_with(&format!("keepalive_timeout 0; location / {{ return 200 {name}; }}"))
    }

    /// Starts one whose server block has these directives. Its files are in `html`, which `file` writes.
    pub fn start_with(directives: &str) -> Self {
        let (address, dir) = (place::free(), tempfile::tempdir().expect("a directory"));
        fs::create_dir(dir.path().join("html")).expect("a directory");
        // Its worker is another account, which must get in.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
        fs::write(dir.path().join("nginx.conf"), config(directives, address)).expect("write nginx.conf");
        let process = spawn(address, dir.path());
        Nginx { address, process, dir }
    }

    /// Writes one of its files, in a folder that is made.
    pub fn file(&self, name: &str, bytes: &[u8]) {
        let path = self.path("html").join(name);
        fs::create_dir_all(path.parent().expect("below html")).expect("a directory");
        fs::write(path, bytes).expect("write a file");
    }

    /// Starts a killed one again, on its address.
    pub fn start_again(&mut self) {
        self.process = spawn(self.address, self.dir.path());
    }

    /// Requests that it answered.
    pub fn answered(&self) -> usize {
        fs::read_to_string(self.path("access.log")).unwrap_or_default().lines().count()
    }

    /// Kills it as the kernel does when memory runs out: nothing is finished.
    pub fn kill(&mut self) {
        // Without master process the one that was started is all there is.
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ran");
    }

    /// Stops it in its tracks: what it holds it keeps, and nothing of it ends.
    pub fn freeze(&self) {
        let status = Command::new("kill").args(["-s", "STOP", &self.process.id().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "kill -s STOP");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Killed by the test already, perhaps.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn spawn(address: SocketAddr, dir: &Path) -> Child {
    let process = Command::new("nginx")
        .args(["-p", &dir.display().to_string(), "-e", "error.log", "-c", "nginx.conf"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("nginx starts");
    wait_until("nginx answers", || client::connect(address).is_ok());
    process
}

fn config(directives: &str, address: SocketAddr) -> String {
    format!(
        "daemon off; master_process off; pid nginx.pid; error_log error.log;
        events {{ worker_connections 4096; }}
        http {{
            access_log access.log;
            types {{ text/html html; text/css css; application/javascript js; image/svg+xml svg; }}
            client_body_temp_path .; proxy_temp_path .; fastcgi_temp_path .; uwsgi_temp_path .; scgi_temp_path .;
            server {{ listen {address} backlog=1024; {directives} }}
        }}"
    )
}
