-- The manifests of a time, without reading everything else of its days.
CREATE INDEX custody_event_manifest ON custody_event (log_index) WHERE kind = 'manifest';
