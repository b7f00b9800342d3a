//! What the UEs of partners need to reach them, kept once for all users of a partner.

use std::collections::HashMap;

use mcx_proto::types::v1::InitialUeConfiguration;
use mcx_store::{Database, StoreError, Transaction};
use mcx_types::Timestamp;
use prost::Message;
use sha2::{Digest, Sha256};

use super::columns::corrupt;

/// The digest of a configuration: two with the same one are the same.
pub(crate) fn digest(configuration: &InitialUeConfiguration) -> String {
    of_content(&configuration.encode_to_vec())
}

fn of_content(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Stores a configuration and returns its digest, by which it is found.
pub(crate) async fn put(
    transaction: &mut Transaction,
    configuration: &InitialUeConfiguration,
    now: Timestamp,
) -> Result<String, StoreError> {
    let content = configuration.encode_to_vec();
    let digest = of_content(&content);
    transaction
        .statement(
            "INSERT INTO partner_ue_configuration (digest, content, created_at) VALUES ($1, $2, $3) \
             ON CONFLICT (digest) DO NOTHING",
        )
        .bind(digest.as_str())
        .bind(content)
        .bind(now.as_micros())
        .execute()
        .await?;
    Ok(digest)
}

/// The configurations with these digests.
pub(crate) async fn find(
    database: &Database,
    digests: impl IntoIterator<Item = String>,
) -> Result<HashMap<String, InitialUeConfiguration>, StoreError> {
    let sql = database.dialect(
        "SELECT digest, content FROM partner_ue_configuration WHERE digest = ANY($1::text[])",
        "SELECT digest, content FROM partner_ue_configuration WHERE digest IN (SELECT value FROM json_each($1))",
    );
    let rows: Vec<(String, Vec<u8>)> = database.statement(sql).bind_text_array(digests).fetch_all().await?;
    let read = |(digest, content): (String, Vec<u8>)| {
        let configuration =
            InitialUeConfiguration::decode(content.as_slice()).map_err(|_| corrupt("content"))?;
        Ok((digest, configuration))
    };
    rows.into_iter().map(read).collect()
}
