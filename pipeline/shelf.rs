//! Where article models live: files under their digest, the store says which one is active.
//!
//! `<models folder>/<article>/<digest>.onnx`. A file is never overwritten and never trusted by
//! its name alone: reading it checks the digest, the passport's article and the golden tiles. What was
//! taught of classes lies beside them as `classes.json`: it belongs to the article, whatever model
//! finds its flaws, and a run's record keeps its checksum.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use models::Article;
use store::{Digest, Name, NewModel, Store, now_us};

use crate::classes::{Head, KeptHead, read_head, write_head};

/// Name of the file with what was taught of classes.
const HEAD_FILE: &str = "classes.json";

/// The folder of article models.
#[derive(Clone, Debug)]
pub struct Shelf {
    folder: PathBuf,
}

impl Shelf {
    /// Models in `folder`, else in `articles/` beside the store at `url`.
    pub fn new(folder: Option<&Path>, url: &str) -> Self {
        let beside = || {
            let file = url.strip_prefix("sqlite:").unwrap_or(url);
            // A store that is no file has nothing beside it; its models lie here.
            let is_file = !file.contains("://") && file != ":memory:";
            let folder = Path::new(file).parent().filter(|_| is_file);
            folder.unwrap_or(Path::new("")).join("articles")
        };
        Self {
            folder: folder.map_or_else(beside, Path::to_owned),
        }
    }

    /// Folder of one article's models.
    ///
    /// # Errors
    /// When the article's name cannot be a folder's.
    pub fn folder_of(&self, article: &Name) -> anyhow::Result<PathBuf> {
        Ok(self.folder.join(article.as_folder()?))
    }

    /// Enters a model that was just written into the store and makes it the active one.
    ///
    /// # Errors
    /// What the store refuses.
    pub fn keep(&self, store: &mut Store, name: &Name, article: &Article) -> anyhow::Result<()> {
        let digest = Digest::new(article.digest())?;
        let file = article.path().file_name().unwrap_or_default();
        store.register_model(&NewModel {
            digest: digest.clone(),
            article: name.clone(),
            passport_json: serde_json::to_string(article.passport())?,
            file_name: file.to_string_lossy().into_owned(),
            taught_at_us: now_us(),
        })?;
        store.activate_model(name, &digest)?;
        Ok(())
    }

    /// The active model of an article.
    ///
    /// # Errors
    /// When nothing was taught, or the file is missing, changed, or another article's.
    pub fn active(&self, store: &Store, name: &Name) -> anyhow::Result<Article> {
        let Some(model) = store.active_model(name)? else {
            let mut known = Vec::new();
            for article in store.articles()? {
                if store.active_model(&article.name)?.is_some() {
                    known.push(article.name.to_string());
                }
            }
            bail!(
                "nothing was taught for article {:?}; found {known:?}, expected `selvedge teach --article {}` first",
                name.as_str(),
                name.as_str()
            );
        };
        let path = self.folder_of(name)?.join(&model.file_name);
        let article = Article::read(&path).with_context(|| {
            format!(
                "the active model of article {:?} cannot be used",
                name.as_str()
            )
        })?;
        ensure!(
            article.digest() == model.digest.as_str(),
            "model {path:?} has digest {}, expected {} as the store says: it was changed or damaged",
            article.digest(),
            model.digest
        );
        let taught_for = &article.passport().article;
        ensure!(
            taught_for == name.as_str(),
            "model {path:?} was taught for article {taught_for:?}, expected {:?}",
            name.as_str()
        );
        Ok(article)
    }

    /// What was taught of an article's classes; `None` where nothing was.
    ///
    /// # Errors
    /// When the file is damaged, of another version, or another article's.
    pub fn head(&self, name: &Name) -> anyhow::Result<Option<KeptHead>> {
        let path = self.folder_of(name)?.join(HEAD_FILE);
        let kept = read_head(&path)?;
        if let Some(kept) = &kept {
            let taught_for = kept.head.article();
            ensure!(
                taught_for == name.as_str(),
                "{path:?} was taught for article {taught_for:?}, expected {:?}",
                name.as_str()
            );
        }
        Ok(kept)
    }

    /// Keeps what was taught of an article's classes, in place of what was there.
    ///
    /// # Errors
    /// What the disk says.
    pub fn keep_head(&self, name: &Name, head: &Head) -> anyhow::Result<KeptHead> {
        write_head(&self.folder_of(name)?.join(HEAD_FILE), head)
    }
}
