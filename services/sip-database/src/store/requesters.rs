//! The durable numbers of partners, which choose their IND.

use mcx_store::StoreError;
use mcx_types::McSystemId;

use super::Store;
use crate::domain::requester::RequesterNumber;

/// Several replicas may allot at once; each loser looks again.
const ATTEMPTS: usize = 20;

impl Store {
    /// The number of a partner, allotted with its first request and never changed.
    ///
    /// # Errors
    /// [`StoreError`]; `Conflict` where so many partners appeared at once that none of the attempts got through.
    pub(crate) async fn requester_number(&self, partner: &McSystemId) -> Result<RequesterNumber, StoreError> {
        const FIND: &str = "SELECT number FROM requester WHERE mc_system_id = $1";
        // `WHERE TRUE` tells SQLite that what follows is not a join condition.
        const ALLOT: &str = "INSERT INTO requester (mc_system_id, number) \
             SELECT $1, COALESCE(MAX(number), 0) + 1 FROM requester WHERE TRUE \
             ON CONFLICT (mc_system_id) DO NOTHING";
        for _ in 0..ATTEMPTS {
            let found: Option<(i64,)> =
                self.database.statement(FIND).bind(partner.as_str().to_owned()).fetch_optional().await?;
            if let Some((number,)) = found {
                let number = u64::try_from(number).map_err(|_| StoreError::Internal)?;
                return Ok(RequesterNumber(number));
            }
            match self.database.statement(ALLOT).bind(partner.as_str().to_owned()).execute().await {
                // Another partner got this number first.
                Ok(_) | Err(StoreError::UniqueViolation { .. } | StoreError::Conflict) => {}
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Conflict)
    }
}
