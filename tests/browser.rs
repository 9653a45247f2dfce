//! A real browser, driven as a person would: pages, keys, pictures of the screen.
//!
//! Chromium without a window, spoken to by its DevTools protocol over a socket of its own; gone with the
//! value. Where it is not installed a test says so aloud and does not run.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

/// Longest time that a page may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with one page.
pub(crate) struct Browser {
    socket: WebSocket<TcpStream>,
    session: String,
    next_id: u64,
    child: Child,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts one whose window is `width` by `height`; `None`, aloud, where there is none.
    pub(crate) fn start(width: u32, height: u32) -> Option<Self> {
        let profile = tempfile::tempdir().unwrap();
        let started = Command::new("chromium")
            .args([
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--remote-debugging-port=0",
            ])
            .arg(format!("--window-size={width},{height}"))
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        let Ok(mut child) = started else {
            crate::not_run("chromium is not installed (Debian: apt install chromium)");
            return None;
        };
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines
            .find_map(|line| {
                let line = line.unwrap();
                line.strip_prefix("DevTools listening on ")
                    .map(str::to_owned)
            })
            .expect("a browser that listens");
        // It writes on; somebody must read, or it waits.
        std::thread::Builder::new()
            .name("browser says".to_owned())
            .spawn(move || lines.for_each(drop))
            .unwrap();
        let host = address.strip_prefix("ws://").unwrap();
        let stream = TcpStream::connect(host.split('/').next().unwrap()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (socket, _) = tungstenite::client(&address, stream).unwrap();
        let mut browser = Self {
            socket,
            session: String::new(),
            next_id: 0,
            child,
            _profile: profile,
        };
        let target = browser.ask("Target.createTarget", json!({ "url": "about:blank" }));
        let attached = browser.ask(
            "Target.attachToTarget",
            json!({ "targetId": target["targetId"], "flatten": true }),
        );
        browser.session = attached["sessionId"].as_str().unwrap().to_owned();
        browser.ask("Page.enable", json!({}));
        browser.set_window(width, height, 1.0);
        Some(browser)
    }

    /// Makes the page's window `width` by `height`, each of its pixels `zoom` of the screen.
    pub(crate) fn set_window(&mut self, width: u32, height: u32, zoom: f64) {
        let (width, height) = (f64::from(width) / zoom, f64::from(height) / zoom);
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            json!({ "width": width as u32, "height": height as u32, "deviceScaleFactor": zoom, "mobile": false }),
        );
    }

    /// Opens an address and waits until it is there.
    pub(crate) fn open(&mut self, url: &str) {
        let opened = self.ask("Page.navigate", json!({ "url": url }));
        assert!(opened["errorText"].is_null(), "{url}: {opened}");
        self.until("document.readyState === 'complete'");
    }

    /// What a script says.
    pub(crate) fn says(&mut self, script: &str) -> Value {
        let said = self.ask(
            "Runtime.evaluate",
            json!({ "expression": script, "returnByValue": true, "awaitPromise": true }),
        );
        assert!(said["exceptionDetails"].is_null(), "{script}: {said}");
        said["result"]["value"].clone()
    }

    /// Waits until a script says that something is so.
    pub(crate) fn until(&mut self, script: &str) {
        let since = Instant::now();
        loop {
            // While a page is left there is nobody who could say it.
            let said = self.try_ask(
                "Runtime.evaluate",
                json!({ "expression": script, "returnByValue": true }),
            );
            if said.is_ok_and(|said| said["result"]["value"] == true) {
                return;
            }
            let shown = "document.body ? document.body.innerText.slice(0, 500) : ''";
            if since.elapsed() > PATIENCE {
                let shown = self.says(shown);
                panic!("it did not come to be that {script}: {shown}");
            }
            std::thread::yield_now();
        }
    }

    /// Presses a key, as it is named on the keyboard.
    pub(crate) fn press(&mut self, key: &str) {
        let mut pressed = json!({ "type": "keyDown", "key": key });
        if key.chars().count() == 1 {
            pressed["text"] = key.into();
        } else if key == "Enter" {
            pressed["text"] = "\r".into();
        }
        if let Some(code) = [
            ("Enter", 13),
            ("Tab", 9),
            ("ArrowLeft", 37),
            ("ArrowRight", 39),
        ]
        .iter()
        .find_map(|(name, code)| (*name == key).then_some(*code))
        {
            pressed["windowsVirtualKeyCode"] = code.into();
        }
        self.ask("Input.dispatchKeyEvent", pressed);
        self.ask(
            "Input.dispatchKeyEvent",
            json!({ "type": "keyUp", "key": key }),
        );
    }

    /// Types into the field that has the focus.
    pub(crate) fn types(&mut self, text: &str) {
        self.ask("Input.insertText", json!({ "text": text }));
    }

    /// Keeps a picture of the window.
    pub(crate) fn picture(&mut self, file: &Path) {
        let shot = self.ask("Page.captureScreenshot", json!({ "format": "png" }));
        let png = STANDARD.decode(shot["data"].as_str().unwrap()).unwrap();
        std::fs::write(file, png).unwrap();
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.try_ask(method, params)
            .unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    fn try_ask(&mut self, method: &str, params: Value) -> Result<Value, String> {
        self.next_id += 1;
        let mut message = json!({ "id": self.next_id, "method": method, "params": params });
        if !self.session.is_empty() {
            message["sessionId"] = self.session.clone().into();
        }
        self.socket
            .send(Message::text(message.to_string()))
            .unwrap();
        loop {
            let Message::Text(text) = self.socket.read().unwrap() else {
                continue;
            };
            let mut answer: Value = serde_json::from_str(&text).unwrap();
            // All else is told of what happens in the page.
            if answer["id"] == self.next_id {
                let error = answer["error"].take();
                return if error.is_null() {
                    Ok(answer["result"].take())
                } else {
                    Err(error.to_string())
                };
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
