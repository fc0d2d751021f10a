//! Packets that vanish: rules in a chain of our own, gone with it.

use std::process::{Command, Stdio};

use anyhow::ensure;

const CHAIN: &str = "SENLIN-STORM";

/// The chain; removed when this goes, whatever is in it.
pub(crate) struct Network(());

fn iptables(line: &str) -> anyhow::Result<()> {
    let mut command = Command::new("iptables");
    let status = command.arg("-w").args(line.split(' ')).stderr(Stdio::null()).status()?;
    ensure!(status.success(), "iptables {line}: {status}");
    Ok(())
}

impl Network {
    /// An empty chain. Needs root.
    pub(crate) fn start() -> anyhow::Result<Self> {
        // What a killed run has left behind.
        sweep();
        iptables(&format!("-N {CHAIN}"))?;
        for side in ["INPUT", "OUTPUT"] {
            iptables(&format!("-I {side} -j {CHAIN}"))?;
        }
        Ok(Self(()))
    }

    /// From now on nothing comes from that port of this machine and nothing gets there.
    pub(crate) fn cut(&self, port: u16) -> anyhow::Result<()> {
        rules("-A", port)
    }

    /// Everything gets through again.
    pub(crate) fn mend(&self, port: u16) -> anyhow::Result<()> {
        rules("-D", port)
    }
}

fn rules(verb: &str, port: u16) -> anyhow::Result<()> {
    for end in ["--dport", "--sport"] {
        iptables(&format!("{verb} {CHAIN} -p tcp {end} {port} -j DROP"))?;
    }
    Ok(())
}

fn sweep() {
    for side in ["INPUT", "OUTPUT"] {
        while iptables(&format!("-D {side} -j {CHAIN}")).is_ok() {}
    }
    let _ = iptables(&format!("-F {CHAIN}"));
    let _ = iptables(&format!("-X {CHAIN}"));
}

impl Drop for Network {
    fn drop(&mut self) {
        sweep();
    }
}
