//! TOML with the place of every value and key.

use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMappingProxy, PyTuple};
use std::ops::Range;
use toml_edit::{Document, Item, Key, Table, TableLike, Value};

use crate::error::Error;

/// A text is not TOML. Line and column count from 1, columns in characters.
pub(crate) struct Syntax {
    pub(crate) message: String,
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// A TOML value and its place. Immutable.
#[pyclass(frozen, get_all, module = "motte._core")]
pub(crate) struct TomlValue {
    /// `table`, `array`, `string`, `integer`, `float`, `boolean` or `datetime`.
    kind: &'static str,
    /// Tables are read-only mappings, arrays tuples, dates and times text.
    value: Py<PyAny>,
    /// The line it begins in, from 1.
    line: usize,
    /// The character of the line it begins with, from 1.
    column: usize,
    /// Line and column of each key of a table; empty for everything else.
    keys: Py<PyMappingProxy>,
}

#[pymethods]
impl TomlValue {
    fn __repr__(&self) -> String {
        format!(
            "TomlValue(kind={:?}, line={}, column={})",
            self.kind, self.line, self.column
        )
    }
}

/// Tables within tables and arrays within arrays. A policy needs four; the bound keeps a hostile
/// file from exhausting the stack.
const NESTING: usize = 64;

/// Reads TOML. Raises `TomlError` with line and column.
#[pyfunction]
pub(crate) fn parse_toml(py: Python<'_>, text: &str) -> PyResult<TomlValue> {
    let places = Places::new(text);
    let document = Document::parse(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        places.syntax(error.message().trim_end(), offset)
    })?;
    Reader { py, places }.table(document.as_table(), 0, 0)
}

/// Walks the parsed tree. `offset` is where a value begins that knows no place of its own, such as
/// the table `a` of `a.b = 1`: where its key stands.
struct Reader<'a, 'py> {
    py: Python<'py>,
    places: Places<'a>,
}

impl Reader<'_, '_> {
    fn item(&self, item: &Item, offset: usize, depth: usize) -> PyResult<TomlValue> {
        if depth > NESTING {
            let message = format!("more than {NESTING} tables or arrays within each other");
            return Err(self.places.syntax(&message, offset).into());
        }
        match item {
            Item::Value(value) => self.value(value, offset, depth),
            Item::Table(table) => self.table(table, begin(table.span(), offset), depth),
            Item::ArrayOfTables(tables) => {
                let elements = tables
                    .iter()
                    .map(|table| self.table(table, begin(table.span(), offset), depth.saturating_add(1)));
                self.array(elements, begin(tables.span(), offset))
            }
            // Only edited documents hold it.
            Item::None => self.table(&Table::new(), offset, depth),
        }
    }

    fn value(&self, value: &Value, offset: usize, depth: usize) -> PyResult<TomlValue> {
        let offset = begin(value.span(), offset);
        let py = self.py;
        match value {
            Value::String(text) => self.leaf("string", text.value().into_py_any(py)?, offset),
            Value::Integer(number) => self.leaf("integer", number.value().into_py_any(py)?, offset),
            Value::Float(number) => self.leaf("float", number.value().into_py_any(py)?, offset),
            Value::Boolean(truth) => self.leaf("boolean", truth.value().into_py_any(py)?, offset),
            Value::Datetime(time) => self.leaf("datetime", time.value().to_string().into_py_any(py)?, offset),
            Value::Array(array) => {
                let elements = array
                    .iter()
                    .map(|element| self.item(&Item::Value(element.clone()), offset, depth.saturating_add(1)));
                self.array(elements, offset)
            }
            Value::InlineTable(table) => self.table(table, offset, depth),
        }
    }

    fn array(
        &self,
        elements: impl Iterator<Item = PyResult<TomlValue>>,
        offset: usize,
    ) -> PyResult<TomlValue> {
        let elements = elements.collect::<PyResult<Vec<_>>>()?;
        self.leaf(
            "array",
            PyTuple::new(self.py, elements)?.into_any().unbind(),
            offset,
        )
    }

    fn table(&self, table: &dyn TableLike, offset: usize, depth: usize) -> PyResult<TomlValue> {
        let (values, keys) = (PyDict::new(self.py), PyDict::new(self.py));
        for (name, item) in table.iter() {
            let key = table.get_key_value(name).map(|(key, _)| key);
            let key_offset = begin(key.and_then(Key::span), offset);
            values.set_item(name, self.item(item, key_offset, depth.saturating_add(1))?)?;
            keys.set_item(name, self.places.of(key_offset))?;
        }
        let values = PyMappingProxy::new(self.py, values.as_mapping());
        self.node("table", values.into_any().unbind(), offset, &keys)
    }

    fn leaf(&self, kind: &'static str, value: Py<PyAny>, offset: usize) -> PyResult<TomlValue> {
        self.node(kind, value, offset, &PyDict::new(self.py))
    }

    fn node(
        &self,
        kind: &'static str,
        value: Py<PyAny>,
        offset: usize,
        keys: &Bound<'_, PyDict>,
    ) -> PyResult<TomlValue> {
        let (line, column) = self.places.of(offset);
        let keys = PyMappingProxy::new(self.py, keys.as_mapping()).unbind();
        Ok(TomlValue {
            kind,
            value,
            line,
            column,
            keys,
        })
    }
}

fn begin(span: Option<Range<usize>>, otherwise: usize) -> usize {
    span.map_or(otherwise, |span| span.start)
}

/// Byte offsets as lines and columns.
struct Places<'a> {
    text: &'a str,
    /// Where each line begins.
    lines: Vec<usize>,
}

impl<'a> Places<'a> {
    fn new(text: &'a str) -> Self {
        let breaks = text
            .match_indices('\n')
            .map(|(offset, _)| offset.saturating_add(1));
        Self {
            text,
            lines: std::iter::once(0).chain(breaks).collect(),
        }
    }

    fn of(&self, offset: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|&start| start <= offset);
        let start = line
            .checked_sub(1)
            .and_then(|index| self.lines.get(index))
            .copied()
            .unwrap_or(0);
        let before = self
            .text
            .get(start..offset)
            .map_or(0, |text| text.chars().count());
        (line, before.saturating_add(1))
    }

    fn syntax(&self, message: &str, offset: usize) -> Error {
        let (line, column) = self.of(offset);
        Error::from(Syntax {
            message: message.to_owned(),
            line,
            column,
        })
    }
}
