-- The schema of a new SQLite database, always at the newest version; the steps
-- from older versions are in migrate.go.
--
-- Times are microseconds since 1970 in UTC, 0 stands for "never" or "not yet".
-- Scopes, amr, resources, audiences and withheld claims are words joined by single spaces. Hashes are SHA-256.
-- Of a person there is the directory's id (subject) and nothing else.

CREATE TABLE gatehouse_schema (
    version INTEGER NOT NULL
) STRICT;

-- n is what the rows of a grant point to: it is short, and because it ascends,
-- new rows of the indexes below land next to each other.
CREATE TABLE grants (
    n          INTEGER PRIMARY KEY,
    id         TEXT    NOT NULL UNIQUE,
    client_id  TEXT    NOT NULL,
    subject    TEXT    NOT NULL,
    session_id TEXT    NOT NULL,
    scopes     TEXT    NOT NULL,
    claims     TEXT    NOT NULL, -- names asked for one by one, JSON, '' for none
    auth_time  INTEGER NOT NULL,
    amr        TEXT    NOT NULL,
    acr        TEXT    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER NOT NULL DEFAULT 0,
    resources  TEXT    NOT NULL DEFAULT '', -- what its tokens were asked for
    withheld   TEXT    NOT NULL DEFAULT ''  -- names of claims
) STRICT;

CREATE INDEX grants_by_client ON grants (client_id);
CREATE INDEX grants_by_subject ON grants (subject);
CREATE INDEX grants_by_expiry ON grants (expires_at);

-- One authorisation has one code, so a grant has at most one.
CREATE TABLE codes (
    grant_n        INTEGER PRIMARY KEY REFERENCES grants (n),
    hash           BLOB    NOT NULL UNIQUE,
    redirect_uri   TEXT    NOT NULL,
    nonce          TEXT    NOT NULL,
    code_challenge TEXT    NOT NULL,
    expires_at     INTEGER NOT NULL,
    used_at        INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE access_tokens (
    hash       BLOB    NOT NULL PRIMARY KEY,
    grant_n    INTEGER NOT NULL REFERENCES grants (n),
    scopes     TEXT    NOT NULL,
    issued_at  INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    audience   TEXT    NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

CREATE INDEX access_tokens_by_grant ON access_tokens (grant_n);

CREATE TABLE refresh_tokens (
    hash       BLOB    NOT NULL PRIMARY KEY,
    grant_n    INTEGER NOT NULL REFERENCES grants (n),
    scopes     TEXT    NOT NULL,
    issued_at  INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at    INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

CREATE INDEX refresh_tokens_by_grant ON refresh_tokens (grant_n);

CREATE TABLE sessions (
    hash         BLOB    NOT NULL PRIMARY KEY,
    id           TEXT    NOT NULL,
    subject      TEXT    NOT NULL,
    auth_time    INTEGER NOT NULL,
    amr          TEXT    NOT NULL,
    remember     INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX sessions_by_subject ON sessions (subject);
CREATE INDEX sessions_by_expiry ON sessions (expires_at);

CREATE TABLE consents (
    subject    TEXT    NOT NULL,
    client_id  TEXT    NOT NULL,
    scopes     TEXT    NOT NULL,
    granted_at INTEGER NOT NULL,
    withheld   TEXT    NOT NULL DEFAULT '', -- names of claims
    PRIMARY KEY (subject, client_id)
) STRICT, WITHOUT ROWID;

-- What may be used once: client assertions by client and jti, pushed requests by
-- their request_uri.
CREATE TABLE used_once (
    hash       BLOB    NOT NULL PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX used_once_by_expiry ON used_once (expires_at);

-- The parameters are sealed: a login_hint may be among them.
CREATE TABLE pushed_requests (
    hash       BLOB    NOT NULL PRIMARY KEY,
    client_id  TEXT    NOT NULL,
    sealed     BLOB    NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX pushed_requests_by_expiry ON pushed_requests (expires_at);

-- Devices that wait for a person (RFC 8628). User codes are short, so their hash is
-- keyed by a key that is not in the database. What a person has allowed is a grant
-- with a code whose hash is that of the device code.
CREATE TABLE device_codes (
    hash       BLOB    NOT NULL PRIMARY KEY,
    user_hash  BLOB    NOT NULL UNIQUE,
    client_id  TEXT    NOT NULL,
    scopes     TEXT    NOT NULL,
    resources  TEXT    NOT NULL,
    pause      INTEGER NOT NULL, -- microseconds between two polls
    next_at    INTEGER NOT NULL, -- when the next poll may come
    hasty      INTEGER NOT NULL, -- whether the last came too early
    expires_at INTEGER NOT NULL,
    decided_at INTEGER NOT NULL,
    denied     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX device_codes_by_expiry ON device_codes (expires_at);
-- Clients that have registered themselves. What is in metadata, they have written.
CREATE TABLE registrations (
    client_id     TEXT    NOT NULL UNIQUE,
    access_hash   BLOB    NOT NULL,
    token_id      TEXT    NOT NULL, -- of the initial access token, '' for none
    revision      INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    secret_hash   TEXT    NOT NULL,
    secret_sealed TEXT    NOT NULL,
    metadata      TEXT    NOT NULL,
    logo          TEXT    NOT NULL
) STRICT;

CREATE INDEX registrations_by_expiry ON registrations (expires_at);
CREATE INDEX registrations_by_token ON registrations (token_id, expires_at);

CREATE TABLE registration_origins (
    origin    TEXT NOT NULL,
    client_id TEXT NOT NULL,
    PRIMARY KEY (origin, client_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX registration_origins_by_client ON registration_origins (client_id);
CREATE INDEX consents_by_client ON consents (client_id);

-- Initial access tokens; note is the operator's own.
CREATE TABLE registration_tokens (
    hash       BLOB    NOT NULL PRIMARY KEY,
    id         TEXT    NOT NULL UNIQUE,
    note       TEXT    NOT NULL,
    uses       INTEGER NOT NULL,
    uses_left  INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX registration_tokens_by_expiry ON registration_tokens (expires_at);
