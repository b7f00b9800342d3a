//! Fixtures for tests: private database and cache servers.
