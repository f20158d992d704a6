//! Does a start fail for something that passes by itself? Builders and models say so only in words.

use muster_core::instance::StartFault;

/// What pip, uv, Python and the system say when a server is away or the machine is short of something. Not
/// of packages that there are not: pip says that as well when it reached no index, after one of these.
const PASSING: [&str; 25] = [
    "Temporary failure in name resolution",
    "Name or service not known",
    "failed to lookup address",
    "dns error",
    "Network is unreachable",
    "No route to host",
    "Connection refused",
    "Connection reset",
    "Connection aborted",
    "connection broken by",
    "ConnectionError",
    "ConnectTimeout",
    "RemoteDisconnected",
    "IncompleteRead",
    "timed out",
    "error sending request",
    "HTTP error 5",
    "server error (5",
    "Bad Gateway",
    "Service Unavailable",
    "Too Many Requests",
    "Resource temporarily unavailable",
    "Cannot allocate memory",
    "Too many open files",
    "No space left on device",
];

pub(crate) fn fault_of(words: &str) -> StartFault {
    // What the walls refuse they refuse next time as well.
    let walled = words.contains("runs without a network");
    if !walled && PASSING.iter().any(|sign| words.contains(sign)) {
        StartFault::Passing
    } else {
        StartFault::Lasting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_that_a_model_does_not_have_is_not_away() {
        let away = "OSError: [Errno 101] Network is unreachable";
        assert_eq!(fault_of(away), StartFault::Passing);
        let walled = format!("{away}. This model runs without a network: its model.toml ..");
        assert_eq!(fault_of(&walled), StartFault::Lasting);
    }

    /// As pip 24 and uv 0.5 wrote them.
    #[test]
    fn an_index_that_is_away_passes_and_a_package_that_there_is_not_does_not() {
        let away = [
            "WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) after \
             connection broken by 'NewConnectionError('<pip._vendor.urllib3.connection.HTTPConnection object \
             at 0x7f>: Failed to establish a new connection: [Errno 111] Connection refused')': /simple/six/\n\
             ERROR: Could not find a version that satisfies the requirement six (from versions: none)\n\
             ERROR: No matching distribution found for six",
            "error: Failed to fetch: `http://127.0.0.1:9/simple/six/`\n  Caused by: Request failed after 3 \
             retries\n  Caused by: error sending request for url (http://127.0.0.1:9/simple/six/)",
            "its Python environment cannot be made: Resource temporarily unavailable (os error 11)",
        ];
        for words in away {
            assert_eq!(fault_of(words), StartFault::Passing, "{words}");
        }
        let wrong = [
            "ERROR: Could not find a version that satisfies the requirement no-such (from versions: none)\n\
             ERROR: No matching distribution found for no-such",
            "  × No solution found when resolving dependencies:\n  ╰─▶ Because no-such was not found in the \
             package registry and you require no-such, we can conclude that your requirements are \
             unsatisfiable.",
            "ModuleNotFoundError: No module named 'torch'",
        ];
        for words in wrong {
            assert_eq!(fault_of(words), StartFault::Lasting, "{words}");
        }
    }
}
