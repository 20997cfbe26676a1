//! Traces by OpenTelemetry's variables and by the file, and the log of a configuration that is refused.

use super::*;

fn with_variables(more: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let variables: Vec<_> = [("COUNTERSIGN_KEY_ENCRYPTION_KEY", KEK)].iter().chain(variables).copied().collect();
    Folder::new(&whole(more)).load(&variables, &[])
}

fn traces(more: &str, variables: &[(&str, &str)]) -> Option<Traces> {
    with_variables(more, variables).unwrap().traces
}

#[test]
fn traces_are_off_unless_there_is_somewhere_to_send_them() {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector:4318");
    assert!(traces("", &[]).is_none());
    assert!(traces("", &[("OTEL_SERVICE_NAME", "x"), ("OTEL_TRACES_SAMPLER", "always_on")]).is_none());
    assert!(traces("", &[endpoint, ("OTEL_TRACES_EXPORTER", "none")]).is_none());
    assert!(traces("", &[endpoint, ("OTEL_SDK_DISABLED", "true")]).is_none());
    let file = "traces: {endpoint: 'https://other:4318'}";
    assert!(traces(file, &[("OTEL_TRACES_EXPORTER", "none")]).is_some(), "the file overrides the environment");
    let config = with_variables(file, &[("OTEL_SDK_DISABLED", "true")]).unwrap();
    assert!(config.traces.is_none() && config.notices.iter().any(|notice| notice.contains("OTEL_SDK_DISABLED")));
    assert_eq!(traces("", &[("OTEL_TRACES_EXPORTER", "otlp")]).unwrap().endpoint, "http://localhost:4318/v1/traces");
}

#[test]
fn an_endpoint_is_a_collectors_or_that_of_its_traces() {
    let base = |url| [("OTEL_EXPORTER_OTLP_ENDPOINT", url)];
    assert_eq!(traces("", &base("https://c:4318")).unwrap().endpoint, "https://c:4318/v1/traces");
    assert_eq!(traces("", &base("https://c:4318/otlp/")).unwrap().endpoint, "https://c:4318/otlp/v1/traces");
    assert_eq!(traces("", &base("https://c:4318/v1/traces")).unwrap().endpoint, "https://c:4318/v1/traces");
    let own = [base("https://c:4318")[0], ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://t/x")];
    assert_eq!(traces("", &own).unwrap().endpoint, "https://t/x");
    let grpc = traces("traces: {endpoint: 'http://c:4317', protocol: grpc}", &own).unwrap();
    assert_eq!((grpc.endpoint.as_str(), grpc.protocol), ("http://c:4317", OtlpProtocol::Grpc));
}

#[test]
fn which_requests_are_traced_is_a_standard_sampler_or_a_ratio() {
    let sampler = |name, argument| {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c");
        let variables = [endpoint, ("OTEL_TRACES_SAMPLER", name), ("OTEL_TRACES_SAMPLER_ARG", argument)];
        traces("", &variables).unwrap().sampling
    };
    let is = |parent_based, ratio| Sampling { parent_based, ratio };
    assert_eq!(sampler("", ""), is(true, 1.0));
    assert_eq!(sampler("parentbased_traceidratio", "0.25"), is(true, 0.25));
    assert_eq!(sampler("parentbased_always_off", ""), is(true, 0.0));
    assert_eq!(sampler("traceidratio", "0.25"), is(false, 0.25));
    assert_eq!(sampler("always_off", ""), is(false, 0.0));
    let file = "traces: {endpoint: 'http://c', sample_ratio: '0.5'}";
    assert_eq!(traces(file, &[("OTEL_TRACES_SAMPLER", "always_on")]).unwrap().sampling, is(true, 0.5));
}

#[test]
fn the_headers_of_a_file_are_sent_in_place_of_the_environments() {
    let folder = Folder::new(&whole("traces: {endpoint: 'https://c', headers_file: headers}"));
    crate::secret_file::create(&folder.0.path().join("headers"), "api-key=a%3Db\nx-team=one,x-more=2\n").unwrap();
    let variables = [
        ("COUNTERSIGN_KEY_ENCRYPTION_KEY", KEK),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20x,api-key=old"),
    ];
    let traces = folder.load(&variables, &[]).unwrap().traces.unwrap();
    let sent: Vec<_> = traces.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    assert_eq!(sent, [("api-key", "a=b"), ("x-team", "one"), ("x-more", "2")]);
    assert_eq!(traces.overridden_headers, ["authorization", "api-key"]);
    assert!(!format!("{traces:?}").contains("a=b"));
}

#[test]
fn wrong_settings_of_traces_name_the_key_and_the_form() {
    let on = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
    for (name, value, key, message) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "traces.endpoint", "must be an http(s) URL without user"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://me:hunter2@c", "traces.endpoint", "must be an http(s) URL"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "traces.protocol", "must be http/protobuf or grpc"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon", "traces.timeout_ms", "must be a whole number, 1 to 60000"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2", "traces.headers", "must be at most 32 pairs such as name=value"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a b=hunter2", "traces.headers", "must be names and values of HTTP headers"),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "a=hunter2",
            "traces.endpoint",
            "must be an https URL (http on this machine only) if",
        ),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere.pem", "traces.ca", "cannot open /nowhere.pem"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip", "traces.compression", "without compression"),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "k.pem", "traces.client_key", "without a client certificate"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "traces.exporter", "must be otlp or none"),
        ("OTEL_SDK_DISABLED", "yes", "traces.disabled", "must be true or false"),
        ("OTEL_TRACES_SAMPLER", "sometimes", "traces.sampler", "must be parentbased_always_on or"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a", "traces.resource_attributes", "must be at most 32 pairs"),
        ("COUNTERSIGN_TRACES_SAMPLE_RATIO", "1.5", "traces.sample_ratio", "must be a number from 0 to 1"),
        ("COUNTERSIGN_TRACES_REQUESTS_PER_SECOND", "0", "traces.requests_per_second", "must be a whole number, 1 to"),
        ("COUNTERSIGN_TRACES_LEVEL", "all", "traces.level", "must be info or debug"),
        ("COUNTERSIGN_LOG_ACCESS", "yes", "log.access", "must be true or false"),
    ] {
        let set = if name == on.0 { vec![(name, value)] } else { vec![on, (name, value)] };
        let said = with_variables("", &set).unwrap_err();
        assert!(said.contains(message), "{name}: {said}");
        assert!(said.contains(key) && !said.contains("hunter2"), "{name}: {said}");
    }
    let ratio = [on, ("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "half")];
    assert!(with_variables("", &ratio).unwrap_err().contains("traces.sampler_arg: must be a number from 0 to 1"));
}

#[test]
fn the_logs_format_is_known_although_the_rest_is_wrong() {
    let format = |yaml: &str, variables: &[(&str, &str)]| {
        let folder = Folder::new(yaml);
        let file = folder.0.path().join("countersign.yaml").display().to_string();
        let own = |&(name, value): &(&str, &str)| Variable { name: name.to_owned(), value: value.to_owned() };
        let flags = vec![Flag { key: "config", flag: "--config", value: file }];
        Sources { dev: false, container: false, variables: variables.iter().map(own).collect(), flags }.log_format()
    };
    let json = ("COUNTERSIGN_LOG_FORMAT", "json");
    assert_eq!(format("log: {format: json}\nlistne: x", &[]), LogFormat::Json);
    assert_eq!(format("log: {format: jsno}", &[]), LogFormat::Text);
    assert_eq!(format("a: [", &[]), LogFormat::Text);
    assert_eq!(format("a: [", &[json]), LogFormat::Json);
}
