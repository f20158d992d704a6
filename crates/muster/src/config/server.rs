//! The settings of `muster serve`.

use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use muster_cluster::machine::MachineConfig;
use muster_core::image::ImagePrefix;
use muster_core::quota::{Amounts, Quotas};
use muster_core::{Clearing, Retention};
use muster_model_server::folder::archive::Most;
use muster_server::{Addresses, Mail};

use super::kubernetes::{self, Kubernetes};
use super::nodes::{self, Nodes};
use super::settings::{Origin, Settings, Value};
use super::{Environment, age, machine};

/// Where several hubs may share the work: enough for balancers that look each second.
const LEAVE: u64 = 2;

/// What `muster serve` works with.
#[derive(Clone, Debug)]
pub struct Serve {
    pub listen: SocketAddr,
    pub metrics: Option<SocketAddr>,
    /// Where the settings were read from, if it was a file.
    pub file: Option<PathBuf>,
    pub data_dir: PathBuf,
    pub models: Option<PathBuf>,
    pub model_addresses: Vec<muster_server::Origin>,
    pub model_images: Vec<ImagePrefix>,
    /// Of an archive that is pushed; 0: nobody pushes.
    pub push_bytes: u64,
    pub push_most: Most,
    pub allowed_hosts: Vec<String>,
    pub public_url: Option<String>,
    pub cors_origins: Vec<String>,
    pub trusted_proxies: Vec<Addresses>,
    pub insecure_cookies: bool,
    pub mail: Option<Mail>,
    pub database: Option<Postgres>,
    pub objects: Option<String>,
    /// For `objects` in S3, by the names `object_store` knows.
    pub object_options: Vec<(String, String)>,
    pub inputs: u64,
    pub input_bytes: u64,
    pub body_bytes: u64,
    pub quotas: Quotas,
    pub clearing: Clearing,
    pub sessions: u32,
    pub network_sessions: u32,
    pub address_mails: u32,
    pub network_mails: u32,
    pub max_instances: u32,
    pub node: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub machine: MachineConfig,
    /// Instances are pods.
    pub kubernetes: Option<Kubernetes>,
    pub nodes: Nodes,
    pub model_variables: Vec<String>,
    pub model_reads: Vec<PathBuf>,
    pub model_writes: Vec<PathBuf>,
    pub model_walls: bool,
    pub leave: Duration,
    pub stop: Duration,
    pub log: Log,
}

#[derive(Clone, Debug)]
pub struct Postgres {
    pub url: String,
    pub schema: Option<String>,
    pub max_connections: u32,
    pub wait: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    pub json: bool,
    pub filter: String,
}

impl Serve {
    /// The error says what is wrong and where it was set.
    pub fn read(settings: &Settings, environment: &Environment) -> Result<Self, String> {
        let number = |key: &str, at_least: u64| {
            let must_be = format!("a whole number, at least {at_least}");
            let read = |text: &str| text.parse().ok().filter(|number| *number >= at_least);
            Ok::<u64, String>(settings.read(key, &must_be, read)?.unwrap_or(at_least))
        };
        let bytes = |key: &str| {
            let read = settings.read(key, "a size such as 64MiB or 65536", size)?;
            Ok::<u64, String>(read.unwrap_or(1))
        };
        let amounts = |who: &str| {
            let key = |name: &str| format!("quotas.{who}{name}");
            Ok::<Amounts, String>(Amounts {
                waiting_requests: number(&key("waiting_requests"), 1)?,
                waiting_inputs: number(&key("waiting_inputs"), 1)?,
                day_inputs: number(&key("day_inputs"), 1)?,
                bytes: bytes(&key("bytes"))?,
            })
        };
        let age = |name: &str| {
            let read = settings.read(&format!("clearing.{name}"), age::MUST_BE, age::read)?;
            Ok::<Option<Duration>, String>(read.flatten())
        };
        let small = |key, at_least| {
            number(key, at_least).map(|number| u32::try_from(number).unwrap_or(u32::MAX))
        };
        let socket = |key| settings.read(key, "an address such as 127.0.0.1:8080", address);
        let list = |key| {
            let texts = settings.text(key).unwrap_or_default().split(',').map(str::trim);
            texts.filter(|text| !text.is_empty()).map(str::to_owned).collect::<Vec<String>>()
        };
        let database = match settings.get("database.url") {
            Some(_) => Some(Postgres {
                url: settings
                    .read("database.url", "a URL such as postgres://hub@db/muster", |url| {
                        let scheme = url.split_once("://")?.0;
                        matches!(scheme, "postgres" | "postgresql").then(|| url.to_owned())
                    })
                    // The value may hold a password.
                    .map_err(|text| text.replace(&url_text(settings), "***"))?
                    .unwrap_or_default(),
                schema: settings.text("database.schema").map(str::to_owned),
                max_connections: small("database.max_connections", 4)?,
                wait: Duration::from_secs(number("database.wait_seconds", 0)?),
            }),
            None => None,
        };
        let shared = database.is_some();
        let kubernetes = kubernetes::read(settings)?;
        let like = "like https://hub.example.org or https://example.org/hub";
        let public_url = settings.read("public_url", like, |text| {
            let url = web_address(text)?;
            let more = url.query().is_some() || url.fragment().is_some();
            (!more).then(|| text.trim_end_matches('/').to_owned())
        })?;
        let cors_origins = list("cors_origins");
        for origin in &cors_origins {
            let fits = web_address(origin)
                .is_some_and(|url| url.origin().ascii_serialization().eq_ignore_ascii_case(origin));
            if !fits {
                return Err(format!(
                    "cors_origins: {origin:?} must be like https://lab.example.org, as browsers say it"
                ));
            }
        }
        let mail = match (settings.text("mail.url"), settings.text("mail.from")) {
            (Some(_), _) if public_url.is_none() => {
                return Err("mail.url needs public_url, for the links in the mail".into());
            }
            (Some(url), Some(from)) => Some(Mail::new(url, from)?),
            (Some(_), None) => return Err("mail.url needs mail.from".into()),
            (None, _) => None,
        };
        let listen = socket("listen")?.ok_or("listen is not set")?;
        let insecure_cookies =
            settings.read("insecure_cookies", "true or false", |text| text.parse().ok())?;
        let insecure_cookies = insecure_cookies.unwrap_or(false);
        if insecure_cookies && !listen.ip().is_loopback() {
            return Err("insecure_cookies is only for a loopback address in listen".into());
        }
        let model_addresses: Result<Vec<muster_server::Origin>, String> =
            list("model_addresses").iter().map(|text| text.parse()).collect();
        let model_images: Result<Vec<ImagePrefix>, String> =
            list("model_images").iter().map(|text| text.parse()).collect();
        let trusted_proxies: Result<Vec<Addresses>, String> =
            list("trusted_proxies").iter().map(|text| text.parse()).collect();
        let leave = match settings.text("leave_seconds") {
            None if database.is_some() => LEAVE,
            _ => number("leave_seconds", 0)?,
        };
        let format = |text: &str| match text {
            "text" => Some(false),
            "json" => Some(true),
            _ => None,
        };
        Ok(Self {
            listen,
            metrics: socket("metrics")?,
            file: settings.file.clone(),
            data_dir: settings.text("data_dir").unwrap_or("./data").into(),
            models: settings.text("models").map(PathBuf::from),
            model_addresses: model_addresses
                .map_err(|wrong| format!("model_addresses: {wrong}"))?,
            model_images: model_images.map_err(|wrong| format!("model_images: {wrong}"))?,
            push_bytes: settings
                .read("push.archive_bytes", "a size such as 2GiB, or 0", |text| {
                    if text == "0" { Some(0) } else { size(text) }
                })?
                .unwrap_or(0),
            push_most: Most { bytes: bytes("push.folder_bytes")?, files: number("push.files", 1)? },
            allowed_hosts: list("allowed_hosts"),
            public_url,
            cors_origins,
            trusted_proxies: trusted_proxies
                .map_err(|wrong| format!("trusted_proxies: {wrong}"))?,
            insecure_cookies,
            mail,
            database,
            objects: settings.text("objects.url").map(str::to_owned),
            object_options: object_options(settings, environment)
                .map(|(name, value)| (name, value.text))
                .collect(),
            inputs: number("limits.inputs", 1)?,
            input_bytes: bytes("limits.input_bytes")?,
            body_bytes: bytes("limits.body_bytes")?,
            quotas: Quotas {
                account: amounts("")?,
                anonymous: amounts("anonymous_")?,
                anonymous_all_bytes: bytes("quotas.anonymous_all_bytes")?,
            },
            clearing: Clearing {
                every: age("every")?,
                retention: Retention {
                    anonymous: age("anonymous")?,
                    account: age("account")?,
                    predictions: age("predictions")?,
                    instances: age("instances")?,
                },
            },
            sessions: small("quotas.sessions", 1)?,
            network_sessions: small("quotas.network_sessions", 1)?,
            address_mails: small("quotas.address_mails", 1)?,
            network_mails: small("quotas.network_mails", 1)?,
            max_instances: small("max_instances", 1)?,
            node: settings.read("local.node", "1 to 63 of a-z, 0-9, '-' and '.'", machine::name)?,
            labels: settings
                .read("local.labels", "labels such as disk=fast,zone=a", machine::labels)?
                .unwrap_or_default(),
            machine: machine::read(settings, environment)?,
            nodes: nodes::read(settings, environment, shared, kubernetes.as_ref())?,
            kubernetes,
            model_variables: list("model_variables"),
            model_reads: list("model_reads").into_iter().map(PathBuf::from).collect(),
            model_writes: list("model_writes").into_iter().map(PathBuf::from).collect(),
            model_walls: settings
                .read("model_walls", "true or false", |text| text.parse().ok())?
                .unwrap_or(true),
            leave: Duration::from_secs(leave),
            stop: Duration::from_secs(number("stop_seconds", 0)?),
            log: Log {
                json: settings.read("log.format", "text or json", format)?.unwrap_or(false),
                filter: settings.text("log.filter").unwrap_or("info").to_owned(),
            },
        })
    }
}

/// An address of the web without a user.
pub(super) fn web_address(text: &str) -> Option<reqwest::Url> {
    let url = reqwest::Url::parse(text).ok().filter(|url| url.has_host())?;
    let plain = url.username().is_empty() && url.password().is_none();
    (plain && matches!(url.scheme(), "http" | "https")).then_some(url)
}

fn url_text(settings: &Settings) -> String {
    settings.get("database.url").map(|value| format!("{:?}", value.text)).unwrap_or_default()
}

/// Options for the object store: from the file, and `AWS_` variables as other tools know them.
pub fn object_options(
    settings: &Settings,
    environment: &Environment,
) -> impl Iterator<Item = (String, Value)> {
    let in_file = settings.options.clone();
    let variables: Vec<(String, Value)> = environment
        .starting_with("AWS_")
        .filter(|(name, _)| !name.ends_with("_BUNDLE"))
        .map(|(name, text)| {
            let origin = Origin::Variable(name.to_owned());
            (name.to_ascii_lowercase(), Value { text: text.to_owned(), origin })
        })
        .filter(|(name, _)| !in_file.contains_key(name))
        .collect();
    settings.options.clone().into_iter().chain(variables)
}

fn address(text: &str) -> Option<SocketAddr> {
    text.to_socket_addrs().ok()?.next()
}

/// Bytes: a number, or one with KiB, MiB or GiB.
pub(super) fn size(text: &str) -> Option<u64> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30)];
    let unit = units.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)));
    let (number, shift) = unit.unwrap_or((text, 0));
    let number: u64 = number.trim().parse().ok()?;
    number.checked_mul(1 << shift).filter(|bytes| *bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::environment;
    use crate::config::known::SETTINGS;

    fn read(variables: &[(&str, &str)]) -> Result<Serve, String> {
        let variables = environment(variables);
        let settings = Settings::resolve(SETTINGS, &[], &variables, None).expect("it resolves");
        Serve::read(&settings, &variables)
    }

    #[test]
    fn without_settings_everything_is_on_this_machine() {
        let serve = read(&[]).expect("it fits");
        assert_eq!(serve.listen, SocketAddr::from(([127, 0, 0, 1], 8080)));
        assert!(serve.metrics.is_none() && serve.database.is_none() && serve.objects.is_none());
        let limits = (serve.inputs, serve.input_bytes, serve.body_bytes);
        assert_eq!(limits, (100_000, 64 << 10, 64 << 20));
    }

    #[test]
    fn hubs_that_share_a_database_leave_slowly() {
        let database = ("MUSTER_DATABASE_URL", "postgres://hub@db/muster");
        let leave = |variables: &[_]| read(variables).expect("it fits").leave.as_secs();
        assert_eq!((leave(&[]), leave(&[database])), (0, LEAVE));
        assert_eq!(leave(&[database, ("MUSTER_LEAVE_SECONDS", "9")]), 9);
    }

    #[test]
    fn a_wrong_value_is_refused_by_name_and_origin_and_never_shows_a_password() {
        let wrong = read(&[("MUSTER_LISTEN", "nowhere")]).expect_err("no address");
        assert!(wrong.contains("listen = \"nowhere\" (from MUSTER_LISTEN)"), "{wrong}");
        assert!(read(&[("MUSTER_LIMITS_BODY_BYTES", "64MB")]).is_err());
        assert!(read(&[("MUSTER_LOG_FORMAT", "xml")]).is_err());
        let wrong = read(&[("MUSTER_DATABASE_URL", "mysql://hub:canary@db/x")]);
        assert!(!wrong.expect_err("not PostgreSQL").contains("canary"));
    }

    #[test]
    fn how_long_things_are_kept_is_set_by_kind_and_0_is_for_ever() {
        let serve = read(&[]).expect("it fits");
        let day = Duration::from_secs(86_400);
        assert_eq!(serve.clearing.retention, Retention::default());
        assert_eq!(serve.clearing.every, Some(day));
        let serve = read(&[("MUSTER_CLEARING_ACCOUNT", "0"), ("MUSTER_CLEARING_ANONYMOUS", "1d")]);
        let kept = serve.expect("it fits").clearing.retention;
        assert_eq!((kept.account, kept.anonymous), (None, Some(day)));
        let wrong = read(&[("MUSTER_CLEARING_EVERY", "daily")]).expect_err("no length of time");
        assert!(wrong.contains("clearing.every") && wrong.contains("12h"), "{wrong}");
    }

    #[test]
    fn mail_needs_somebody_who_writes_and_a_place_for_its_links() {
        let url = ("MUSTER_MAIL_URL", "smtp://hub:canary@localhost:25");
        let from = ("MUSTER_MAIL_FROM", "Muster <hub@example.org>");
        let public = ("MUSTER_PUBLIC_URL", "https://hub.example.org/");
        let serve = read(&[url, from, public]).expect("it fits");
        assert_eq!(serve.public_url.as_deref(), Some("https://hub.example.org"));
        assert!(serve.mail.is_some());
        assert!(read(&[url, from]).is_err() && read(&[url, public]).is_err());
        let wrong = read(&[("MUSTER_MAIL_URL", "ftp://hub:canary@x"), from, public]);
        assert!(!wrong.expect_err("not SMTP").contains("canary"));
        assert!(read(&[("MUSTER_PUBLIC_URL", "hub")]).is_err());
        assert!(read(&[("MUSTER_PUBLIC_URL", "https://hub.example.org/?a")]).is_err());
        let below = read(&[("MUSTER_PUBLIC_URL", "https://example.org/hub/")]).expect("it fits");
        assert_eq!(below.public_url.as_deref(), Some("https://example.org/hub"));
        let origins = ("MUSTER_CORS_ORIGINS", "https://lab.example.org, http://localhost:3000");
        assert_eq!(read(&[origins]).expect("it fits").cors_origins.len(), 2);
        for other in ["*", "lab.example.org", "https://lab.example.org/", "null"] {
            assert!(read(&[("MUSTER_CORS_ORIGINS", other)]).is_err(), "{other}");
        }
        assert!(read(&[("MUSTER_TRUSTED_PROXIES", "10.0.0.0/8, x")]).is_err());
        let insecure = ("MUSTER_INSECURE_COOKIES", "true");
        assert!(read(&[insecure]).expect("it fits").insecure_cookies);
        assert!(read(&[insecure, ("MUSTER_LISTEN", "0.0.0.0:80")]).is_err());
    }

    #[test]
    fn options_for_s3_come_from_the_variables_other_tools_use() {
        let variables = [("AWS_REGION", "eu"), ("AWS_CA_BUNDLE", "/x"), ("AWS_SESSION_TOKEN", "")];
        let serve = read(&variables).expect("it fits");
        assert_eq!(serve.object_options, [("aws_region".to_owned(), "eu".to_owned())]);
    }
}
