//! Checks of DestinationRule.

use super::super::destination_rule::DestinationRule;
use super::super::meta::Meta;
use super::traffic_policy::traffic_policy;
use super::{Check, names};

pub(in super::super) fn destination_rule(rule: &DestinationRule, meta: &Meta, check: &mut Check) {
    check.must("host", names::wildcard_domain(&rule.host));
    check.given("trafficPolicy", rule.traffic_policy.as_ref(), traffic_policy);
    for (index, subset) in rule.subsets.iter().enumerate() {
        check.within(format!("subsets[{index}]"), |check| {
            check.must("name", names::label("subset name", &subset.name));
            if rule.subsets[..index].iter().any(|other| other.name == subset.name) {
                check.error("name", format!("{:?} is given twice", subset.name));
            }
            for (key, value) in &subset.labels {
                check.must("labels", names::label_key(key));
                // Longer values than Kubernetes allows do no harm.
                check.must("labels", names::label_value(value));
            }
            check.given("trafficPolicy", subset.traffic_policy.as_ref(), traffic_policy);
        });
    }
    check.export_to(&rule.export_to, &meta.namespace, false);
    if let Some(selector) = &rule.workload_selector {
        check.selector("workloadSelector", &selector.match_labels);
        if rule.export_to.iter().any(|name| name != "." && *name != meta.namespace) {
            check.error("exportTo", "a rule with workloadSelector holds in its own namespace only");
        }
    }
}
