//! Apache Kafka, one node in KRaft mode, on the machine's JDK.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::cache;
use crate::data::make_private;
use crate::ports::Port;
use crate::ready::Ready;
use crate::supervise::{OnEvent, Restart, Spec, Supervised};

const POM: &str = include_str!("../kafka/pom.xml");
const LOG4J: &str = include_str!("../kafka/log4j2.yaml");
const PROPERTIES: &str = include_str!("../kafka/server.properties");

/// Small and quick to start: about 165 MB, ready in one to three seconds.
const LEAN: &[&str] = &["-Xms128m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
/// For benchmarks: the default JIT and garbage collector, and a heap like a small production broker's.
const FAST: &[&str] = &["-Xms512m", "-Xmx512m"];

#[derive(Debug, Clone, Default)]
pub struct KafkaOptions {
    /// 0: a free one.
    pub port: u16,
    /// Broker properties that win over ours, e.g. `("message.max.bytes", "2000000")`.
    pub properties: Vec<(String, String)>,
    /// The default JIT and 512 MB instead of the lean recipe: for benchmarks.
    pub fast: bool,
}

/// A running broker. The process can be killed, stopped, paused and started again: [`Kafka::process`].
pub struct Kafka {
    pub process: Supervised,
    address: SocketAddr,
    _ports: [Port; 2],
}

impl Kafka {
    /// Fetches Kafka if need be, formats `data` if it is new, and starts the broker there. Blocks while
    /// it fetches; does not wait until the broker answers: [`Supervised::ready`].
    ///
    /// # Errors
    /// Java or Maven missing, the port taken, too little disk.
    pub fn spawn(
        data: &Path,
        options: &KafkaOptions,
        restart: Restart,
        on_event: OnEvent,
    ) -> anyhow::Result<Self> {
        let broker = Port::claim(options.port, "Kafka", "--kafka-port")?;
        let controller = Port::claim(0, "Kafka's controller", "")?;
        cache::require_space(data, 512 << 20)?;
        let installation = Installation::get()?;
        make_private(data)?;
        let properties =
            write_configuration(data, broker.number(), controller.number(), &options.properties)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, broker.number()));
        let log = data.join("kafka.log");
        if !data.join("log").join("meta.properties").exists() {
            installation.format(data, &properties)?;
        }
        let mut command = installation.java(if options.fast { FAST } else { LEAN }, data);
        command.arg("kafka.Kafka").arg(&properties);
        let process = Supervised::spawn(Spec {
            name: "Kafka".into(),
            command,
            log,
            ready: Ready::Kafka(address),
            restart,
            grace: Duration::from_secs(20),
            on_event,
        })?;
        Ok(Self { process, address, _ports: [broker, controller] })
    }

    /// `127.0.0.1:port`, for `bootstrap.servers`.
    pub fn address(&self) -> String {
        self.address.to_string()
    }
}

fn write_configuration(
    data: &Path,
    broker: u16,
    controller: u16,
    more: &[(String, String)],
) -> anyhow::Result<PathBuf> {
    let log = std::path::absolute(data)?.join("log");
    let mut text = PROPERTIES
        .replace("{broker}", &broker.to_string())
        .replace("{controller}", &controller.to_string())
        .replace("{log}", &log.display().to_string());
    for (key, value) in more {
        text.push_str(&format!("{key}={value}\n"));
    }
    fs::write(data.join("log4j2.yaml"), LOG4J)?;
    let path = data.join("server.properties");
    fs::write(&path, text)?;
    Ok(path)
}

/// The jars and an archive of loaded classes (AppCDS), which saves more than half of the start.
struct Installation {
    class_path: String,
    archive: PathBuf,
}

impl Installation {
    fn get() -> anyhow::Result<Self> {
        let java = java_version()?;
        let jars = cache::entry(&cache::keyed("kafka", &[POM.as_bytes()]), fetch)?;
        let mut paths: Vec<String> = fs::read_dir(jars.join("lib"))?
            .map(|jar| Ok(jar?.path().display().to_string()))
            .collect::<std::io::Result<_>>()?;
        // The archive is valid for exactly this class path.
        paths.sort();
        let class_path = paths.join(":");
        let name = cache::keyed("kafka-classes", &[class_path.as_bytes(), java.as_bytes()]);
        let archive = cache::entry(&name, |dir| {
            Self { class_path: class_path.clone(), archive: PathBuf::new() }.train(dir)
        })?;
        Ok(Self { class_path, archive: archive.join("kafka.jsa") })
    }

    fn java(&self, flags: &[&str], data: &Path) -> Command {
        let mut command = Command::new("java");
        command.args(flags).arg("-Xshare:auto");
        if self.archive.exists() {
            command.arg(format!("-XX:SharedArchiveFile={}", self.archive.display()));
            // Java ignores an archive that does not fit (another garbage collector), and says nothing.
            command.arg("-Xlog:disable").arg("-Xlog:all=error");
        }
        command
            .arg("-XX:+ExitOnOutOfMemoryError")
            .arg(format!("-Dlog4j2.configurationFile={}", data.join("log4j2.yaml").display()))
            .args(["-cp", &self.class_path])
            .current_dir(data);
        command
    }

    fn format(&self, data: &Path, properties: &Path) -> anyhow::Result<()> {
        // The cluster id is fixed: there is one node.
        let mut command = self.java(LEAN, data);
        crate::ffi::parent_death::prepare(&mut command);
        let output = command
            .args(["kafka.tools.StorageTool", "format", "-t", "dGhlLWV5ZS1sb2NhbC1zdA", "-c"])
            .arg(properties)
            .stdin(Stdio::null())
            .output()?;
        ensure!(
            output.status.success(),
            "cannot format {}: {}",
            data.display(),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// Runs a broker once, up to where it answers, and has Java write down the classes it loaded.
    fn train(&self, dir: &Path) -> anyhow::Result<()> {
        let data = tempfile::tempdir()?;
        let ports = [Port::claim(0, "", "")?, Port::claim(0, "", "")?];
        let properties = write_configuration(data.path(), ports[0].number(), ports[1].number(), &[])?;
        self.format(data.path(), &properties)?;
        let archive = format!("-XX:ArchiveClassesAtExit={}", dir.join("kafka.jsa").display());
        let mut command = self.java(&[LEAN, &[&archive]].concat(), data.path());
        crate::ffi::parent_death::prepare(&mut command);
        let mut child = command
            .arg("kafka.Kafka")
            .arg(&properties)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let ready = Ready::Kafka(SocketAddr::from((Ipv4Addr::LOCALHOST, ports[0].number())));
        while !ready.check() {
            if let Some(status) = child.try_wait()? {
                let log = fs::read_to_string(data.path().join("kafka.log")).unwrap_or_default();
                bail!("Kafka does not start ({status}):\n{log}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        kill_process(Pid::from_child(&child), Signal::TERM)?;
        child.wait()?;
        ensure!(dir.join("kafka.jsa").exists(), "Java wrote no class archive");
        Ok(())
    }
}

fn fetch(dir: &Path) -> anyhow::Result<()> {
    cache::require_space(dir, 300 << 20)?;
    fs::write(dir.join("pom.xml"), POM)?;
    let mut command = Command::new("mvn");
    command.args(["-B", "dependency:copy-dependencies", "-DoutputDirectory=lib"]).current_dir(dir);
    let hint = "Maven fetches Kafka. Install it: apt-get install maven";
    cache::fetch(&mut command, "fetching Apache Kafka from Maven Central", hint)
}

/// The first line of `java -version`, e.g. `openjdk version "17.0.15" 2025-04-15`.
fn java_version() -> anyhow::Result<String> {
    let hint = "Kafka runs on JDK 17 or later. Install it: apt-get install openjdk-17-jdk-headless";
    let Ok(output) = Command::new("java").arg("-version").stdin(Stdio::null()).output() else {
        bail!("missing: java. {hint}");
    };
    let text = String::from_utf8_lossy(&output.stderr);
    let line = text.lines().find(|line| line.contains("version")).unwrap_or_default();
    match major_version(line) {
        Some(major) if major >= 17 => Ok(text.into_owned()),
        _ => bail!("java is too old ({line}). {hint}"),
    }
}

fn major_version(line: &str) -> Option<u32> {
    line.split('"').nth(1)?.split(['.', '-', '+']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_of_java() {
        assert_eq!(major_version(r#"openjdk version "17.0.15" 2025-04-15"#), Some(17));
        assert_eq!(major_version(r#"openjdk version "25-ea" 2025-09-16"#), Some(25));
        assert_eq!(major_version(r#"java version "1.8.0_401""#), Some(1));
        assert_eq!(major_version("command not found"), None);
    }
}
