//! Which members move from hot hosts to cool ones.

use std::collections::BTreeMap;

use senlin_core::{
    ids::NodeId,
    placement::{HostSnapshot, Requirements, Rules, Strategy},
};

use crate::placement::filter;

/// A member and where it is.
#[derive(Debug, Clone)]
pub struct Mover {
    /// The member.
    pub id: NodeId,
    /// Its host.
    pub host: NodeId,
    /// What it uses of its host's processors, in percent, when it is measured.
    pub cpu: Option<f64>,
    /// It protects itself from going for now.
    pub protected: bool,
}

/// A member that moves.
#[derive(Debug, Clone, PartialEq)]
pub struct Move {
    /// The member.
    pub id: NodeId,
    /// From where.
    pub from: NodeId,
    /// Why, in words.
    pub reason: String,
}

/// Percent that a member is taken to use when it is not measured.
const SHARE: f64 = 5.0;

/// Members that should move, at most `most`: from the hottest host, as long as
/// it is `gap` points over the mean and a cooler one has room. By measured CPU
/// load where the policy prefers low CPU; by members per host otherwise, where
/// a host is hot that has two more than another that could take one.
#[must_use]
pub fn moves(
    hosts: &[HostSnapshot],
    members: &[Mover],
    needs: &Requirements,
    rules: &Rules,
    gap: f64,
    most: usize,
) -> Vec<Move> {
    let mut hosts: Vec<HostSnapshot> = hosts.to_vec();
    let mut left: Vec<&Mover> = members.iter().filter(|m| !m.protected).collect();
    let by_cpu = rules.strategy == Some(Strategy::LowCpu);
    let mut moves = Vec::new();
    while moves.len() < most {
        let next = if by_cpu {
            hottest(&hosts, &left, needs, rules, gap)
        } else {
            fullest(&hosts, &left, needs, rules)
        };
        let Some((at, to, share, reason)) = next else { break };
        let Some(mover) = (at < left.len()).then(|| left.remove(at)) else {
            break;
        };
        for host in &mut hosts {
            if host.id == mover.host {
                host.siblings -= 1;
                host.containers -= 1;
                host.cpu_used -= needs.cpu_millis;
                host.memory_used -= needs.memory;
                host.cpu_load = host.cpu_load.map(|l| (l - share).max(0.0));
            } else if host.id == to {
                host.siblings += 1;
                host.containers += 1;
                host.cpu_used += needs.cpu_millis;
                host.memory_used += needs.memory;
                host.cpu_load = host.cpu_load.map(|l| l + share);
            }
        }
        moves.push(Move {
            id: mover.id,
            from: mover.host,
            reason,
        });
    }
    moves
}

type Next = Option<(usize, NodeId, f64, String)>;

#[expect(clippy::cast_precision_loss, reason = "a mean over hosts")]
fn hottest(hosts: &[HostSnapshot], left: &[&Mover], needs: &Requirements, rules: &Rules, gap: f64) -> Next {
    let loads: BTreeMap<NodeId, f64> = hosts.iter().filter_map(|h| Some((h.id, h.cpu_load?))).collect();
    if loads.len() < 2 {
        return None;
    }
    let mean = loads.values().sum::<f64>() / loads.len() as f64;
    let hot = loads
        .iter()
        .filter(|(id, load)| **load >= mean + gap && left.iter().any(|m| m.host == **id))
        .max_by(|a, b| a.1.total_cmp(b.1))?;
    let cold = hosts
        .iter()
        .filter(|h| h.id != *hot.0 && filter::turn_away(h, needs, rules).is_none())
        .filter_map(|h| Some((h, h.cpu_load?)))
        .min_by(|a, b| a.1.total_cmp(&b.1))?;
    // The one that uses least moves first: it is disturbed least.
    let (at, mover) = left
        .iter()
        .enumerate()
        .filter(|(_, m)| m.host == *hot.0)
        .min_by(|a, b| a.1.cpu.unwrap_or(SHARE).total_cmp(&b.1.cpu.unwrap_or(SHARE)))?;
    let share = mover.cpu.unwrap_or(SHARE).max(1.0);
    if cold.1 + share >= hot.1 - share {
        return None;
    }
    let name = |id: NodeId| hosts.iter().find(|h| h.id == id).map_or("", |h| h.name.as_str());
    let reason = format!(
        "'{}' is at {:.0} % CPU, the mean is {mean:.0} %, '{}' at {:.0} %.",
        name(*hot.0),
        hot.1,
        cold.0.name,
        cold.1
    );
    Some((at, cold.0.id, share, reason))
}

fn fullest(hosts: &[HostSnapshot], left: &[&Mover], needs: &Requirements, rules: &Rules) -> Next {
    let movable = |h: &&HostSnapshot| left.iter().any(|m| m.host == h.id);
    let full = hosts.iter().filter(movable).max_by_key(|h| (h.siblings, h.id))?;
    let empty = hosts
        .iter()
        .filter(|h| h.id != full.id && filter::turn_away(h, needs, rules).is_none())
        .min_by_key(|h| (h.siblings, h.id))?;
    if full.siblings - empty.siblings < 2 {
        return None;
    }
    let at = left.iter().position(|m| m.host == full.id)?;
    let reason = format!(
        "'{}' has {} members, '{}' has {}.",
        full.name, full.siblings, empty.name, empty.siblings
    );
    Some((at, empty.id, SHARE, reason))
}

#[cfg(test)]
mod tests {
    use senlin_core::host::HostState;

    use super::*;

    fn host(n: u128, siblings: i64, load: Option<f64>) -> HostSnapshot {
        HostSnapshot {
            id: NodeId(uuid::Uuid::from_u128(n)),
            name: format!("host-{n}"),
            cluster_id: None,
            state: HostState::Up,
            seen_lately: true,
            closed: false,
            cpu_millis: 4000,
            memory: 1 << 30,
            cpu_used: 0,
            memory_used: 0,
            containers: siblings,
            siblings,
            ports: Vec::new(),
            labels: BTreeMap::new(),
            cpu_load: load,
            memory_load: None,
            cpu_since: 0,
            memory_since: 0,
            failures: 0,
        }
    }

    fn members(on: &[(u128, usize)]) -> Vec<Mover> {
        on.iter()
            .flat_map(|(host, count)| std::iter::repeat_n(*host, *count))
            .enumerate()
            .map(|(at, host)| Mover {
                id: NodeId(uuid::Uuid::from_u128(1000 + u128::try_from(at).unwrap())),
                host: NodeId(uuid::Uuid::from_u128(host)),
                cpu: Some(10.0),
                protected: false,
            })
            .collect()
    }

    /// Worked examples: hosts (members, load), strategy, most → moves from each host.
    #[test]
    fn moves_by_example() {
        let none = Requirements::default();
        let cpu = Rules::of(Strategy::LowCpu);
        let spread = Rules::of(Strategy::Spread);
        let hot = [host(1, 4, Some(95.0)), host(2, 1, Some(5.0))];
        let from = |moves: &[Move]| moves.iter().filter(|m| m.from == hot[0].id).count();
        let on = members(&[(1, 4), (2, 1)]);
        let all = moves(&hot, &on, &none, &cpu, 30.0, 9);
        assert_eq!((all.len(), from(&all)), (2, 2), "{all:?}");
        assert!(all[0].reason.contains("'host-1' is at 95 % CPU, the mean is 50 %"));
        assert_eq!(moves(&hot, &on, &none, &cpu, 30.0, 1).len(), 1, "the budget holds");
        assert_eq!(moves(&hot, &on, &none, &cpu, 60.0, 9).len(), 0, "not hot enough");
        let unknown = [host(1, 4, Some(95.0)), host(2, 1, None)];
        assert_eq!(
            moves(&unknown, &on, &none, &cpu, 10.0, 9).len(),
            0,
            "unknown is not cool"
        );
        let spreads = moves(&hot, &on, &none, &spread, 30.0, 9);
        assert_eq!(spreads.len(), 1, "4 and 1 become 3 and 2: {spreads:?}");
        let mut away = hot.clone();
        away[1].state = HostState::Unknown;
        assert_eq!(moves(&away, &on, &none, &spread, 30.0, 9).len(), 0, "nowhere to go");
        let mut shielded = on;
        shielded.iter_mut().for_each(|m| m.protected = true);
        assert_eq!(moves(&hot, &shielded, &none, &cpu, 30.0, 9).len(), 0);
    }
}
