// tokio-postgres by the contract. It pipelines what is asked of one connection; the pool of a
// connection for each task that runs is a channel of clients.
use futures_util::{pin_mut, StreamExt};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio_postgres::{Client, NoTls, Statement};

const SELECT: &str = "SELECT name, balance FROM account WHERE id = $1";
const UPDATE: &str = "UPDATE account SET seen = seen + 1 WHERE id = $1";

struct Keys(u64);
impl Keys {
    fn new(seed: u64) -> Keys {
        Keys(seed % 2147483646 + 1)
    }
    fn next(&mut self) -> i32 {
        self.0 = self.0 * 48271 % 2147483647;
        (self.0 % 100_000) as i32 + 1
    }
}

struct Link {
    client: Client,
    select: Statement,
    update: Statement,
}

async fn ask(link: &Link, key: i32) -> u64 {
    let row = link.client.query_one(&link.select, &[&key]).await.unwrap();
    let name: String = row.get(0);
    let balance: i64 = row.get(1);
    balance as u64 + name.len() as u64
}

struct Pool {
    free: Mutex<Vec<Arc<Link>>>,
    permits: tokio::sync::Semaphore,
}

struct Lease<'a> {
    pool: &'a Pool,
    link: Option<Arc<Link>>,
    _permit: tokio::sync::SemaphorePermit<'a>,
}
impl Drop for Lease<'_> {
    fn drop(&mut self) {
        self.pool.free.lock().unwrap().push(self.link.take().unwrap());
    }
}
impl Pool {
    async fn acquire(&self) -> Lease<'_> {
        let permit = self.permits.acquire().await.unwrap();
        let link = self.free.lock().unwrap().pop();
        Lease { pool: self, link, _permit: permit }
    }
}

fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

async fn stream(link: &Link) -> u64 {
    let mut sum = 0;
    let rows = link
        .client
        .query_raw("SELECT id, label, amount FROM entry", Vec::<i32>::new())
        .await
        .unwrap();
    pin_mut!(rows);
    while let Some(row) = rows.next().await {
        let row = row.unwrap();
        let id: i32 = row.get(0);
        let label: String = row.get(1);
        let amount: f64 = row.get(2);
        sum += id as u64 + label.len() as u64 + (amount * 2.0) as u64;
    }
    sum
}

async fn run(words: Vec<String>) {
    let workload = words[1].clone();
    let connections: usize = words[3].parse().unwrap();
    let tasks: usize = words[4].parse().unwrap();
    let seconds: f64 = words[5].parse().unwrap();
    let known = ["select", "multiplexed", "batch-each", "transaction", "acquire", "stream"];
    if !known.contains(&workload.as_str()) || words[2].contains("sslmode=require") {
        std::process::exit(3);
    }
    let mut links = Vec::new();
    for _ in 0..connections {
        let (client, connection) = tokio_postgres::connect(&words[2], NoTls).await.unwrap();
        tokio::spawn(connection);
        let select = client.prepare(SELECT).await.unwrap();
        let update = client.prepare(UPDATE).await.unwrap();
        links.push(Arc::new(Link { client, select, update }));
    }
    let mut sum = 0;
    let mut first = Keys::new(12_345);
    let firsts = std::env::var("BENCH_FIRST").map_or(1_000, |said| said.parse().unwrap());
    for _ in 0..firsts {
        sum += ask(&links[0], first.next()).await;
    }
    let pool = Arc::new(Pool {
        free: Mutex::new(links.clone()),
        permits: tokio::sync::Semaphore::new(connections),
    });

    let used = processor_seconds();
    let began = Instant::now();
    let until = began + Duration::from_secs_f64(seconds);
    let mut times: Vec<f64> = Vec::new();
    let mut count = 0;
    if workload == "stream" {
        loop {
            let now = Instant::now();
            sum = stream(&links[0]).await;
            times.push(now.elapsed().as_secs_f64());
            count += 1_000_000;
            if Instant::now() >= until {
                break;
            }
        }
    } else {
        let mut running = Vec::new();
        let batch = workload == "batch-each";
        for task in 0..(if batch { connections } else { tasks }) {
            let (pool, link, workload) = (pool.clone(), links[task % connections].clone(), workload.clone());
            let size = tasks / connections;
            running.push(tokio::spawn(async move {
                let mut key = Keys::new(task as u64);
                let mut times = Vec::new();
                let mut now = Instant::now();
                while now < until {
                    match workload.as_str() {
                        "select" => {
                            let lease = pool.acquire().await;
                            ask(lease.link.as_ref().unwrap(), key.next()).await;
                        }
                        "multiplexed" => {
                            ask(&link, key.next()).await;
                        }
                        "batch-each" => {
                            let asked: Vec<i32> = (0..size).map(|_| key.next()).collect();
                            futures_util::future::join_all(asked.iter().map(|key| ask(&link, *key))).await;
                            let took = now.elapsed().as_secs_f64();
                            times.extend(std::iter::repeat(took).take(size - 1));
                        }
                        "acquire" => {
                            drop(pool.acquire().await);
                            if tasks > 1 {
                                // A task that never waits would let no other run.
                                tokio::task::yield_now().await;
                            }
                        }
                        _ => {
                            let own = task as i32 + 1;
                            let lease = pool.acquire().await;
                            let link = lease.link.as_ref().unwrap();
                            link.client.batch_execute("BEGIN").await.unwrap();
                            link.client.execute(&link.update, &[&own]).await.unwrap();
                            link.client.query_one(&link.select, &[&own]).await.unwrap();
                            link.client.batch_execute("COMMIT").await.unwrap();
                        }
                    }
                    let then = Instant::now();
                    times.push((then - now).as_secs_f64());
                    now = then;
                }
                times
            }));
        }
        for one in running {
            times.extend(one.await.unwrap());
        }
        count = times.len();
    }
    let took = began.elapsed().as_secs_f64();
    let cpu = processor_seconds() - used;
    times.sort_by(|a, b| a.partial_cmp(b).unwrap());
    let at = |share: f64| {
        times.get(((share * times.len() as f64) as usize).min(times.len().saturating_sub(1))).unwrap_or(&0.0) * 1e6
    };
    println!(
        "{{\"operations\": {}, \"seconds\": {}, \"cpu\": {}, \"p50\": {}, \"p90\": {}, \"p99\": {}, \"p999\": {}, \"errors\": 0, \"sum\": {}, \"peak\": {}}}",
        count, took, cpu, at(0.5), at(0.9), at(0.99), at(0.999), sum, peak_memory()
    );
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let threads: usize = words.get(6).map_or(1, |word| word.parse().unwrap());
    let runtime = if threads == 1 {
        tokio::runtime::Builder::new_current_thread().enable_all().build()
    } else {
        tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()
    };
    runtime.unwrap().block_on(run(words));
}
