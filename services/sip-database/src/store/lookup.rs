//! Looking up many subscribers at once.

use mcx_store::StoreError;
use mcx_types::{Impi, Impu};

use super::Store;
use super::rows::SubscriberRow;
use crate::domain::subscriber::Subscriber;

impl Store {
    /// The subscribers that have these private identities.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn subscribers(
        &self,
        impis: impl Iterator<Item = &Impi>,
    ) -> Result<Vec<Subscriber>, StoreError> {
        let impis = impis.map(|impi| impi.as_str().to_owned()).collect();
        self.subscriber_rows(impis).await?.into_iter().map(Subscriber::try_from).collect()
    }

    pub(super) async fn subscriber_rows(&self, impis: Vec<String>) -> Result<Vec<SubscriberRow>, StoreError> {
        let statement = self.database.dialect(
            "SELECT * FROM subscriber WHERE impi = ANY($1::text[])",
            "SELECT * FROM subscriber WHERE impi IN (SELECT value FROM json_each($1))",
        );
        self.database.statement(statement).bind_text_array(impis).fetch_all().await
    }

    /// Those of these public identities that some subscriber has, and which.
    ///
    /// # Errors
    /// [`StoreError`].
    pub(crate) async fn owners(
        &self,
        impus: impl Iterator<Item = &Impu>,
    ) -> Result<Vec<(Impu, Impi)>, StoreError> {
        let statement = self.database.dialect(
            "SELECT impu, impi FROM public_identity WHERE impu = ANY($1::text[])",
            "SELECT impu, impi FROM public_identity WHERE impu IN (SELECT value FROM json_each($1))",
        );
        let impus: Vec<String> = impus.map(|impu| impu.as_str().to_owned()).collect();
        let rows: Vec<(String, String)> =
            self.database.statement(statement).bind_text_array(impus).fetch_all().await?;
        rows.into_iter()
            .map(|(impu, impi)| {
                let impu = impu.parse().map_err(|_| StoreError::Internal)?;
                Ok((impu, impi.parse().map_err(|_| StoreError::Internal)?))
            })
            .collect()
    }
}
