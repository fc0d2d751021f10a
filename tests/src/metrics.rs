//! Real metrics systems: Prometheus, Alertmanager, node exporters.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::Context;

use crate::ports::free_port;

/// A process that ends with the test.
pub struct Running {
    child: Child,
    dir: Option<PathBuf>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(dir) = &self.dir {
            let _ = fs::remove_dir_all(dir);
        }
    }
}

fn spawn(mut command: Command, log: &Path, dir: Option<PathBuf>) -> anyhow::Result<Running> {
    let out = fs::File::options().create(true).append(true).open(log)?;
    let child = command
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out)
        .spawn()
        .with_context(|| format!("start {command:?}"))?;
    Ok(Running { child, dir })
}

/// Prometheus and Alertmanager: `scrape` (`host:port`) is read every second,
/// `rule` (a condition) fires the alert `Hot`, and Alertmanager tells `webhook`.
///
/// Returns Prometheus' URL too.
///
/// # Errors
/// When they are not installed.
pub fn alerting(scrape: &str, rule: &str, webhook: &str) -> anyhow::Result<(Running, Running, String)> {
    let dir = std::env::temp_dir().join(format!("senlin-prometheus-{}", uuid::Uuid::new_v4().simple()));
    fs::create_dir_all(&dir)?;
    let (port, alerts) = (free_port()?, free_port()?);
    fs::write(
        dir.join("alertmanager.yml"),
        format!(
            "route: {{receiver: senlin, group_by: [alertname], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}\n\
             receivers: [{{name: senlin, webhook_configs: [{{url: '{webhook}', send_resolved: true}}]}}]\n"
        ),
    )?;
    fs::write(
        dir.join("rules.yml"),
        format!("groups: [{{name: g, interval: 1s, rules: [{{alert: Hot, expr: '{rule}'}}]}}]\n"),
    )?;
    fs::write(
        dir.join("prometheus.yml"),
        format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [rules.yml]\n\
             alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{alerts}']}}]}}]}}\n\
             scrape_configs: [{{job_name: senlin, static_configs: [{{targets: ['{scrape}']}}]}}]\n"
        ),
    )?;
    let mut manager = Command::new("prometheus-alertmanager");
    manager.args([
        &format!("--config.file={}/alertmanager.yml", dir.display()),
        &format!("--storage.path={}/am", dir.display()),
        &format!("--web.listen-address=127.0.0.1:{alerts}"),
        "--cluster.listen-address=",
        "--log.level=debug",
    ]);
    let manager = spawn(manager, &dir.join("alertmanager.log"), None)?;
    let mut prometheus = Command::new("prometheus");
    prometheus.args([
        &format!("--config.file={}/prometheus.yml", dir.display()),
        &format!("--storage.tsdb.path={}/data", dir.display()),
        &format!("--web.listen-address=127.0.0.1:{port}"),
    ]);
    let prometheus = spawn(prometheus, &dir.join("prometheus.log"), Some(dir))?;
    Ok((prometheus, manager, format!("http://127.0.0.1:{port}")))
}

/// A node exporter in a host's network namespace. All hosts of the tests are
/// one machine, so it reads a `/proc/stat` in which a thread accounts for the
/// processes of that namespace alone, as if the machine ran nothing else.
pub struct Exporter {
    _running: Running,
    stop: Arc<AtomicBool>,
    writer: Option<JoinHandle<()>>,
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

/// Processor time of every process of a namespace, in ticks.
fn ticks(namespace: &str) -> u64 {
    let pids = Command::new("ip").args(["netns", "pids", namespace]).output();
    let pids = pids
        .map(|o| String::from_utf8_lossy(&o.stdout).into_owned())
        .unwrap_or_default();
    let time = |pid: &str| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |at: usize| fields.get(at)?.parse::<u64>().ok();
        Some(field(11)? + field(12)?)
    };
    pids.split_whitespace().filter_map(time).sum()
}

/// Starts one in namespace `host`, on port 9100.
///
/// # Errors
/// When it is not installed.
pub fn exporter(namespace: &str) -> anyhow::Result<Exporter> {
    let dir = std::env::temp_dir().join(format!("senlin-exporter-{}", uuid::Uuid::new_v4().simple()));
    fs::create_dir_all(&dir)?;
    fs::copy("/proc/meminfo", dir.join("meminfo"))?;
    let cpus = std::thread::available_parallelism()?.get();
    let cpus = u64::try_from(cpus)?;
    let stop = Arc::new(AtomicBool::new(false));
    let (flag, into, name) = (stop.clone(), dir.join("stat"), namespace.to_owned());
    let begun = Instant::now();
    let first = ticks(namespace);
    let write = move || {
        let user = ticks(&name).saturating_sub(first);
        let all = u64::try_from(begun.elapsed().as_millis()).unwrap_or(0) / 10 * cpus;
        let idle = all.saturating_sub(user);
        let line = |n: u64| format!("cpu{n} {} 0 0 {} 0 0 0 0 0 0\n", user / cpus, idle / cpus);
        let text: String = (0..cpus).map(line).collect();
        let whole = format!("cpu  {user} 0 0 {idle} 0 0 0 0 0 0\n{text}btime 0\nprocesses 1\n");
        let next = into.with_extension("new");
        let _ = fs::write(&next, whole).and_then(|()| fs::rename(&next, &into));
    };
    write();
    let writer = std::thread::spawn(move || {
        while !flag.load(Ordering::SeqCst) {
            write();
            std::thread::sleep(Duration::from_millis(250));
        }
    });
    let mut command = Command::new("nsenter");
    command.args([
        &format!("--net=/run/netns/{namespace}"),
        "prometheus-node-exporter",
        "--collector.disable-defaults",
        "--collector.cpu",
        "--collector.meminfo",
        &format!("--path.procfs={}", dir.display()),
        "--web.listen-address=:9100",
    ]);
    let log = dir.join("log");
    let running = spawn(command, &log, Some(dir))?;
    Ok(Exporter {
        _running: running,
        stop,
        writer: Some(writer),
    })
}

/// A process that burns one processor in a host's namespace, outside Docker.
///
/// # Errors
/// When it cannot be started.
pub fn burner(namespace: &str) -> anyhow::Result<Running> {
    let mut command = Command::new("nice");
    command.args([
        // Whatever else this machine does meanwhile.
        "--adjustment=-5",
        "nsenter",
        &format!("--net=/run/netns/{namespace}"),
        "busybox",
        "sh",
        "-c",
        "while :; do :; done",
    ]);
    spawn(command, Path::new("/dev/null"), None)
}
