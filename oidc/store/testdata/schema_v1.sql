-- A database of schema version 1 as it was released. It is never changed: the
-- test of the migrations begins here.

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
    revoked_at INTEGER NOT NULL DEFAULT 0
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
    expires_at INTEGER NOT NULL
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
    PRIMARY KEY (subject, client_id)
) STRICT, WITHOUT ROWID;

INSERT INTO gatehouse_schema (version) VALUES (1);

INSERT INTO grants (n, id, client_id, subject, session_id, scopes, claims, auth_time, amr, acr, created_at, expires_at, revoked_at) VALUES
    (1, 'grant-1', 'app', 'person-1', 'session-1', 'openid email', '{"userinfo":["name"]}', 1767323045000000, 'pwd otp', '', 1767323045000000, 4102444800000000, 0),
    (2, 'grant-2', 'machine', '', '', 'read', '', 0, '', '', 1767323045000000, 4102444800000000, 1767323046000000);

INSERT INTO codes (grant_n, hash, redirect_uri, nonce, code_challenge, expires_at, used_at) VALUES
    (1, x'00000000000000000000000000000000000000000000000000000000000000c1', 'https://app.example.org/callback', 'nonce-1', '', 1767323105000000, 1767323046000000);

INSERT INTO access_tokens (hash, grant_n, scopes, issued_at, expires_at) VALUES
    (x'00000000000000000000000000000000000000000000000000000000000000a1', 1, 'openid email', 1767323046000000, 4102444800000000),
    (x'00000000000000000000000000000000000000000000000000000000000000a2', 2, 'read', 1767323046000000, 4102444800000000);

INSERT INTO refresh_tokens (hash, grant_n, scopes, issued_at, expires_at, used_at) VALUES
    (x'00000000000000000000000000000000000000000000000000000000000000b1', 1, 'openid email', 1767323046000000, 4102444800000000, 1767323050000000),
    (x'00000000000000000000000000000000000000000000000000000000000000b2', 1, 'openid email', 1767323050000000, 4102444800000000, 0);

INSERT INTO sessions (hash, id, subject, auth_time, amr, remember, last_seen_at, expires_at) VALUES
    (x'00000000000000000000000000000000000000000000000000000000000000d1', 'session-1', 'person-1', 1767323045000000, 'pwd otp', 1, 1767323045000000, 4102444800000000);

INSERT INTO consents (subject, client_id, scopes, granted_at) VALUES
    ('person-1', 'app', 'openid email', 1767323045000000);
