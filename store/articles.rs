//! Articles and their models: which styles of cloth are known, what was taught for each, and which
//! model each one uses now.
//!
//! A model is kept under the digest of its file and never changed; choosing the active one adds a
//! row, so the history of choices stays. The model files themselves live in a folder beside.

use crate::database::{Database, transaction};
use crate::names::{ArticleId, Digest, Name, fresh_id};
use crate::{Store, StoreError, now_us, rows};

/// A style of cloth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Article {
    /// Its row.
    pub id: ArticleId,
    /// Its name; one article bears it.
    pub name: Name,
    /// When it was first named, microseconds since 1970 UTC.
    pub made_at_us: i64,
}

/// A model to be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewModel {
    /// SHA-256 of the file.
    pub digest: Digest,
    /// What it was taught for; made if new.
    pub article: Name,
    /// The passport inside the file, as JSON.
    pub passport_json: String,
    /// The file's name in the folder of models.
    pub file_name: String,
    /// When it was taught, microseconds since 1970 UTC.
    pub taught_at_us: i64,
}

/// A model that is registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// SHA-256 of the file.
    pub digest: Digest,
    /// What it was taught for.
    pub article: Name,
    /// The passport inside the file, as JSON.
    pub passport_json: String,
    /// The file's name in the folder of models.
    pub file_name: String,
    /// When it was taught, microseconds since 1970 UTC.
    pub taught_at_us: i64,
}

impl Store {
    /// The article of this name, made if it is new.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when the name cannot be a folder's; otherwise the database's.
    pub fn ensure_article(&mut self, name: &Name) -> Result<Article, StoreError> {
        transaction(&*self.database, |database| ensure_article(database, name))
    }

    /// The article of this name, if there is one.
    ///
    /// # Errors
    /// The database's only.
    pub fn article(&self, name: &Name) -> Result<Option<Article>, StoreError> {
        article(&*self.database, name)
    }

    /// All articles by name.
    ///
    /// # Errors
    /// The database's only.
    pub fn articles(&self) -> Result<Vec<Article>, StoreError> {
        let sql = "SELECT id, name, made_at FROM articles ORDER BY name";
        self.database
            .query(sql, &[])?
            .iter()
            .map(rows::article)
            .collect()
    }

    /// Keeps a model under its digest; a second time changes nothing.
    ///
    /// # Errors
    /// [`StoreError::ModelDiffers`] when the digest is known with another passport or article.
    pub fn register_model(&mut self, new: &NewModel) -> Result<Model, StoreError> {
        transaction(&*self.database, |database| {
            let article = ensure_article(database, &new.article)?;
            let sql = "INSERT INTO models (digest, article, passport, file_name, taught_at) \
                       VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
            database.execute(
                sql,
                &[
                    new.digest.as_str().into(),
                    article.id.as_bytes()[..].into(),
                    new.passport_json.as_str().into(),
                    new.file_name.as_str().into(),
                    new.taught_at_us.into(),
                ],
            )?;
            let kept = known_model(database, &new.digest)?;
            let differs = |what| StoreError::ModelDiffers {
                digest: new.digest.clone(),
                what,
            };
            if kept.passport_json != new.passport_json {
                return Err(differs("passport"));
            }
            if kept.article != new.article {
                return Err(differs("article"));
            }
            Ok(kept)
        })
    }

    /// The model of this digest, if it is registered.
    ///
    /// # Errors
    /// The database's only.
    pub fn model(&self, digest: &Digest) -> Result<Option<Model>, StoreError> {
        model(&*self.database, digest)
    }

    /// All models of an article, the latest taught first.
    ///
    /// # Errors
    /// The database's only; an unknown article has none.
    pub fn models(&self, article: &Name) -> Result<Vec<Model>, StoreError> {
        let sql = format!(
            "{} WHERE articles.name = $1 ORDER BY models.taught_at DESC, models.digest",
            rows::SELECT_MODEL
        );
        self.database
            .query(&sql, &[article.as_str().into()])?
            .iter()
            .map(rows::model)
            .collect()
    }

    /// Makes a registered model the one that its article uses from now on.
    ///
    /// # Errors
    /// [`StoreError::Unknown`] when the model is not registered for this article.
    pub fn activate_model(&mut self, article: &Name, digest: &Digest) -> Result<(), StoreError> {
        transaction(&*self.database, |database| {
            if known_model(database, digest)?.article != *article {
                let key = digest.to_string();
                let what = "model for this article";
                return Err(StoreError::Unknown {
                    store: database.place().to_string(),
                    what,
                    key,
                });
            }
            let article = ensure_article(database, article)?;
            // A clock that was set back must not let an older choice win.
            let sql = "SELECT MAX(chosen_at) FROM active_models WHERE article = $1";
            let latest = database.query(sql, &[article.id.as_bytes()[..].into()])?;
            let latest = match latest.first() {
                Some(row) => row.optional(0, rows::int)?,
                None => None,
            };
            let chosen_at = latest.map_or(now_us(), |latest| now_us().max(latest + 1));
            let sql =
                "INSERT INTO active_models (id, article, model, chosen_at) VALUES ($1, $2, $3, $4)";
            database.execute(
                sql,
                &[
                    fresh_id().as_bytes()[..].into(),
                    article.id.as_bytes()[..].into(),
                    digest.as_str().into(),
                    chosen_at.into(),
                ],
            )?;
            Ok(())
        })
    }

    /// The model that the article uses, if one was ever chosen.
    ///
    /// # Errors
    /// The database's only.
    pub fn active_model(&self, article: &Name) -> Result<Option<Model>, StoreError> {
        let sql = format!(
            "{} JOIN active_models ON active_models.model = models.digest \
             AND active_models.article = models.article \
             WHERE articles.name = $1 \
             ORDER BY active_models.chosen_at DESC, active_models.id DESC LIMIT 1",
            rows::SELECT_MODEL
        );
        let rows = self.database.query(&sql, &[article.as_str().into()])?;
        rows.first().map(rows::model).transpose()
    }
}

pub(crate) fn ensure_article(database: &dyn Database, name: &Name) -> Result<Article, StoreError> {
    let folder = name.as_folder()?;
    let sql = "INSERT INTO articles (id, name, made_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    database.execute(
        sql,
        &[
            ArticleId::fresh().as_bytes()[..].into(),
            folder.into(),
            now_us().into(),
        ],
    )?;
    article(database, name)?.ok_or_else(|| unknown(database, "article", name.as_str()))
}

/// The model, or the error that it is not registered.
pub(crate) fn known_model(database: &dyn Database, digest: &Digest) -> Result<Model, StoreError> {
    model(database, digest)?.ok_or_else(|| unknown(database, "model", digest.as_str()))
}

/// The error for something that is not there.
pub(crate) fn unknown(database: &dyn Database, what: &'static str, key: &str) -> StoreError {
    StoreError::Unknown {
        store: database.place().to_string(),
        what,
        key: key.to_owned(),
    }
}

fn article(database: &dyn Database, name: &Name) -> Result<Option<Article>, StoreError> {
    let sql = "SELECT id, name, made_at FROM articles WHERE name = $1";
    let rows = database.query(sql, &[name.as_str().into()])?;
    rows.first().map(rows::article).transpose()
}

fn model(database: &dyn Database, digest: &Digest) -> Result<Option<Model>, StoreError> {
    let sql = format!("{} WHERE models.digest = $1", rows::SELECT_MODEL);
    let rows = database.query(&sql, &[digest.as_str().into()])?;
    rows.first().map(rows::model).transpose()
}
