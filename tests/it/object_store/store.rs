//! An object store in memory: whole objects, uploads in pieces, conditions, and no rename.

use std::{
    collections::BTreeMap,
    io,
    sync::{Mutex, MutexGuard},
};

/// What may happen at an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// It fails, and so does every one of its kind after it.
    Fails,
    /// Whoever asked is dead from then on: nothing that it does is done any more.
    Kills,
    /// Somebody is told, as by a key that is pressed.
    Tells,
}

/// Operations that change something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Start,
    Append,
    Complete,
    Put,
    Delete,
}

/// What must be true of the object that is put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Condition {
    None,
    /// There is none of its name.
    IsNew,
    /// There is this one.
    Is(Vec<u8>),
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Vec<u8>>,
    /// Object and bytes so far.
    uploads: BTreeMap<u64, (String, Vec<u8>)>,
    next_upload: u64,
    operations: Vec<Operation>,
    /// The fault at the operation of this number, counted from 0.
    fault: Option<(usize, Fault)>,
    failing: Option<Operation>,
    is_dead: bool,
}

type Told = Box<dyn Fn() + Send>;

/// The store.
#[derive(Default)]
pub(super) struct ObjectStore {
    state: Mutex<State>,
    told: Mutex<Option<Told>>,
}

impl std::fmt::Debug for ObjectStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ObjectStore")
    }
}

impl ObjectStore {
    /// A store with a fault at its operation of this number.
    pub(super) fn with_fault(at: usize, fault: Fault) -> Self {
        let store = Self::default();
        store.state().fault = Some((at, fault));
        store
    }

    /// Calls `told` at [`Fault::Tells`].
    pub(super) fn tell(&self, told: impl Fn() + Send + 'static) {
        *self.told.lock().unwrap() = Some(Box::new(told));
    }

    /// Without faults, for a new process.
    pub(super) fn mend(&self) {
        let mut state = self.state();
        state.fault = None;
        state.failing = None;
        state.is_dead = false;
        state.operations.clear();
    }

    /// The operations so far, those that failed too.
    pub(super) fn operations(&self) -> Vec<Operation> {
        self.state().operations.clone()
    }

    /// The objects whose names begin so.
    pub(super) fn list(&self, prefix: &str) -> Vec<String> {
        let state = self.state();
        let names = state.objects.keys().filter(|name| name.starts_with(prefix));
        names.cloned().collect()
    }

    pub(super) fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.state().objects.get(name).cloned()
    }

    /// Uploads under way, and their objects.
    pub(super) fn uploads(&self) -> Vec<(u64, String)> {
        let state = self.state();
        let uploads = state.uploads.iter();
        uploads.map(|(id, (name, _))| (*id, name.clone())).collect()
    }

    pub(super) fn start(&self, name: &str) -> io::Result<u64> {
        let mut state = self.begin(Operation::Start)?;
        let id = state.next_upload;
        state.next_upload += 1;
        state.uploads.insert(id, (name.to_owned(), Vec::new()));
        Ok(id)
    }

    pub(super) fn append(&self, id: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.begin(Operation::Append)?;
        let upload = state.uploads.get_mut(&id);
        let (_, written) = upload.ok_or_else(|| io::Error::other("no such upload"))?;
        written.extend_from_slice(bytes);
        Ok(())
    }

    pub(super) fn complete(&self, id: u64, condition: &Condition) -> io::Result<()> {
        let mut state = self.begin(Operation::Complete)?;
        let (name, bytes) = state
            .uploads
            .remove(&id)
            .ok_or_else(|| io::Error::other("no such upload"))?;
        Self::insert(&mut state, &name, (bytes, condition))
    }

    pub(super) fn put(&self, name: &str, bytes: Vec<u8>, condition: &Condition) -> io::Result<()> {
        let mut state = self.begin(Operation::Put)?;
        Self::insert(&mut state, name, (bytes, condition))
    }

    pub(super) fn delete(&self, name: &str) -> io::Result<()> {
        self.begin(Operation::Delete)?.objects.remove(name);
        Ok(())
    }

    /// Aborting is tried and not told of; the dead cannot.
    pub(super) fn abort(&self, id: u64) {
        let mut state = self.state();
        if !state.is_dead {
            state.uploads.remove(&id);
        }
    }

    fn insert(
        state: &mut State,
        name: &str,
        (bytes, condition): (Vec<u8>, &Condition),
    ) -> io::Result<()> {
        let holds = match (condition, state.objects.get(name)) {
            (Condition::None, _) => true,
            (Condition::IsNew, there) => there.is_none(),
            (Condition::Is(expected), there) => there == Some(expected),
        };
        if !holds {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.objects.insert(name.to_owned(), bytes);
        Ok(())
    }

    fn begin(&self, operation: Operation) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        let number = state.operations.len();
        state.operations.push(operation);
        match state.fault {
            Some((at, Fault::Fails)) if at == number => state.failing = Some(operation),
            Some((at, Fault::Kills)) if at == number => state.is_dead = true,
            Some((at, Fault::Tells)) if at == number => {
                if let Some(told) = &*self.told.lock().unwrap() {
                    told();
                }
            }
            _ => {}
        }
        if state.is_dead || state.failing == Some(operation) {
            return Err(io::Error::other("the store cannot be reached"));
        }
        Ok(state)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}
