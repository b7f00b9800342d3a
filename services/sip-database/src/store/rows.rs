//! Subscribers between rows and domain types.

use mcx_aka::Amf;
use mcx_store::StoreError;
use mcx_store::sealing::SealedSecret;
use mcx_types::{Impu, SipIdentities, Timestamp};

use crate::domain::subscriber::{Subscriber, SubscriberContent, Version};

/// A row of `subscriber`.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct SubscriberRow {
    pub(super) impi: String,
    impus: String,
    scheme: String,
    amf: Vec<u8>,
    barred: bool,
    version: i64,
    key_id: String,
    keys: Vec<u8>,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<SubscriberRow> for Subscriber {
    type Error = StoreError;

    fn try_from(row: SubscriberRow) -> Result<Self, StoreError> {
        let unreadable = |column: &'static str| {
            tracing::error!(impi = row.impi, column, "stored subscriber cannot be read");
            StoreError::Internal
        };
        let impus: Result<Vec<Impu>, _> = row.impus.split(' ').map(str::parse).collect();
        Ok(Self {
            content: SubscriberContent {
                identities: SipIdentities {
                    impi: row.impi.parse().map_err(|_| unreadable("impi"))?,
                    impus: impus.map_err(|_| unreadable("impus"))?,
                },
                scheme: row.scheme.parse().map_err(|_| unreadable("scheme"))?,
                amf: Amf::try_from(row.amf.as_slice()).map_err(|_| unreadable("amf"))?,
                barred: row.barred,
            },
            version: Version(row.version),
            created_at: Timestamp::from_micros(row.created_at),
            updated_at: Timestamp::from_micros(row.updated_at),
            keys: SealedSecret { key_id: row.key_id, octets: row.keys },
        })
    }
}

/// The column `impus`.
pub(super) fn joined(impus: &[Impu]) -> String {
    impus.iter().map(Impu::as_str).collect::<Vec<_>>().join(" ")
}
