//! Sums and differences of amounts that a plan needs.

use crate::Amounts;

impl Amounts {
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        self.add(other);
        self
    }

    /// What is left without `other`: nothing where there is less than that.
    #[must_use]
    pub fn less(&self, other: &Self) -> Self {
        let named = self.named.iter().map(|(name, amount)| {
            let left = amount.saturating_sub(other.of(name));
            (name.clone(), left)
        });
        Self {
            cpu: self.cpu.saturating_sub(other.cpu),
            memory: self.memory.saturating_sub(other.memory),
            storage: self.storage.saturating_sub(other.storage),
            pods: self.pods.saturating_sub(other.pods),
            named: named.filter(|(_, left)| *left > 0).collect(),
        }
    }

    /// The larger of each.
    #[must_use]
    pub fn largest(mut self, other: &Self) -> Self {
        self.cpu = self.cpu.max(other.cpu);
        self.memory = self.memory.max(other.memory);
        self.storage = self.storage.max(other.storage);
        self.pods = self.pods.max(other.pods);
        for (name, amount) in &other.named {
            let mine = self.named.entry(name.clone()).or_default();
            *mine = (*mine).max(*amount);
        }
        self
    }

    #[must_use]
    pub fn times(&self, count: u64) -> Self {
        let named = self.named.iter().map(|(name, of)| (name.clone(), of.saturating_mul(count)));
        Self {
            cpu: self.cpu.saturating_mul(count),
            memory: self.memory.saturating_mul(count),
            storage: self.storage.saturating_mul(count),
            pods: self.pods.saturating_mul(count),
            named: named.collect(),
        }
    }

    /// Is there room for it in `of` beside what is held?
    pub fn fits_beside(&self, held: &Self, of: &Self) -> bool {
        let fits = |asked: u64, held: u64, of: u64| asked == 0 || asked <= of.saturating_sub(held);
        fits(self.cpu, held.cpu, of.cpu)
            && fits(self.memory, held.memory, of.memory)
            && fits(self.storage, held.storage, of.storage)
            && fits(self.pods, held.pods, of.pods)
            && self.named.iter().all(|(name, asked)| fits(*asked, held.of(name), of.of(name)))
    }

    /// One of them by its name: `cpu`, `memory`, `storage`, `pods`, or a resource's own.
    pub fn get(&self, name: &str) -> u64 {
        match name {
            "cpu" => self.cpu,
            "memory" => self.memory,
            "storage" => self.storage,
            "pods" => self.pods,
            name => self.of(name),
        }
    }

    pub fn set(&mut self, name: &str, amount: u64) {
        match name {
            "cpu" => self.cpu = amount,
            "memory" => self.memory = amount,
            "storage" => self.storage = amount,
            "pods" => self.pods = amount,
            name => drop(self.named.insert(name.to_owned(), amount)),
        }
    }
}
