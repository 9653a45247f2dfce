//! A real MQTT broker, a gate before it, and somebody who listens.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam::channel::{Receiver, bounded};
use rumqttc::{Client, Event, Incoming, MqttOptions, QoS};

use super::PATIENCE;
use crate::not_run;

const MOSQUITTO: &str = "/usr/sbin/mosquitto";

/// A broker that ends with its test.
pub(super) struct Broker(Child);

impl Broker {
    /// `None`, aloud, where there is none to be had.
    pub(super) fn start(folder: &Path, port: u16) -> Option<Self> {
        if !Path::new(MOSQUITTO).exists() {
            not_run("no MQTT broker; see setup/test-packages.txt");
            return None;
        }
        let config = folder.join("mosquitto.conf");
        let lines = [
            &format!("listener {port} 127.0.0.1"),
            "allow_anonymous true",
            "persistence false",
            "log_dest stderr",
            // It would else give up being root for a user who may not read the folder.
            "user root",
        ];
        std::fs::write(&config, lines.join("\n")).unwrap();
        let mut child = Command::new(MOSQUITTO)
            .arg("-c")
            .arg(&config)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains(" running") {
            line.clear();
            assert_ne!(said.read_line(&mut line).unwrap(), 0, "the broker ended");
        }
        // What it says later must go somewhere.
        let drain = move || std::io::copy(&mut said, &mut std::io::sink());
        std::thread::Builder::new().spawn(drain).unwrap();
        Some(Self(child))
    }
}

impl Drop for Broker {
    /// Kills it, as a power cut would.
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// The only way from the outputs to a broker; closing it cuts all connections without a word.
pub(super) struct Gate {
    port: u16,
    streams: Arc<Mutex<Vec<TcpStream>>>,
    is_closed: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Gate {
    pub(super) fn open(port: u16, broker_port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let streams = Arc::new(Mutex::new(Vec::new()));
        let is_closed = Arc::new(AtomicBool::new(false));
        let (kept, closed) = (Arc::clone(&streams), Arc::clone(&is_closed));
        let accept = move || {
            for inside in listener.incoming() {
                if closed.load(Ordering::SeqCst) {
                    break;
                }
                let inside = inside.unwrap();
                let Ok(outside) = TcpStream::connect(("127.0.0.1", broker_port)) else {
                    continue;
                };
                let mut kept = kept.lock().unwrap();
                for (from, to) in [(&inside, &outside), (&outside, &inside)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    kept.push(from.try_clone().unwrap());
                    std::thread::Builder::new()
                        .spawn(|| pass(from, to))
                        .unwrap();
                }
            }
        };
        Self {
            port,
            streams,
            is_closed,
            thread: Some(std::thread::Builder::new().spawn(accept).unwrap()),
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.is_closed.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        let ended = self.thread.take().unwrap().join();
        for stream in self.streams.lock().unwrap().drain(..) {
            // It may have ended by itself.
            drop(stream.shutdown(Shutdown::Both));
        }
        assert!(ended.is_ok() || std::thread::panicking());
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let mut bytes = [0; 4096];
    while let Ok(n @ 1..) = from.read(&mut bytes) {
        if to.write_all(&bytes[..n]).is_err() {
            break;
        }
    }
    drop(to.shutdown(Shutdown::Both));
}

/// A message as a listener gets it.
#[derive(Clone, Debug)]
pub(super) struct Heard {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
}

/// Somebody who hears everything below a topic from now on.
pub(super) struct Listener {
    pub(super) client: Client,
    heard: Receiver<Heard>,
}

impl Listener {
    pub(super) fn to(port: u16, filter: &str) -> Self {
        let options = MqttOptions::new("listener", "127.0.0.1", port);
        let (client, mut connection) = Client::new(options, 10);
        client.subscribe(filter, QoS::AtLeastOnce).unwrap();
        let (tell, heard) = bounded(10_000);
        let (ready, is_ready) = bounded(1);
        let listen = move || {
            // An error is the broker's end.
            for event in connection.iter().map_while(Result::ok) {
                match event {
                    Event::Incoming(Incoming::SubAck(_)) => ready.send(()).unwrap(),
                    Event::Incoming(Incoming::Publish(message)) => {
                        let heard = Heard {
                            topic: message.topic,
                            payload: message.payload.to_vec(),
                        };
                        if tell.send(heard).is_err() {
                            break;
                        }
                    }
                    Event::Incoming(_) | Event::Outgoing(_) => {}
                }
            }
        };
        std::thread::Builder::new().spawn(listen).unwrap();
        is_ready.recv_timeout(PATIENCE).unwrap();
        Self { client, heard }
    }

    /// The next message of a topic that ends like this.
    pub(super) fn next(&self, ending: &str) -> Heard {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let heard = self.heard.recv_timeout(left);
            let heard = heard.unwrap_or_else(|_| panic!("nothing came on …{ending}"));
            if heard.topic.ends_with(ending) {
                return heard;
            }
        }
    }
}
