//! YAML text to trees whose every node knows where it stands.

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

/// How deep a document may nest. Istio's own kinds need about ten.
const MAX_DEPTH: usize = 64;
/// How many nodes the documents of one file may have, aliases counted where they are used, so that a few lines of aliases of aliases cannot fill the memory.
const MAX_NODES: usize = 2_000_000;

/// A value and the line where it begins.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) line: usize,
    pub(super) value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    /// A scalar as written; `plain` if without quotes, so that it may be something else than text.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) line: usize,
    pub(super) text: String,
}

/// What is wrong with the text itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SyntaxError {
    pub(super) line: usize,
    pub(super) message: String,
}

impl Node {
    /// The node at a path such as `spec.http[0].name`, or the last one on the way there.
    pub(super) fn locate(&self, path: &str) -> &Node {
        let mut node = self;
        for step in
            path.split(['.', '[']).map(|step| step.trim_end_matches(']')).filter(|step| !step.is_empty())
        {
            let next = match &node.value {
                Value::Map(entries) => entries
                    .iter()
                    .find(|(key, _)| key.text == step || camel(&key.text) == step)
                    .map(|(_, node)| node),
                Value::List(items) => step.parse().ok().and_then(|index: usize| items.get(index)),
                Value::Scalar { .. } => None,
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node
    }

    /// The value of a key, `None` without it, or if this is no mapping.
    pub(super) fn field(&self, name: &str) -> Option<&Node> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|(key, _)| key.text == name).map(|(_, node)| node),
            _ => None,
        }
    }

    /// Whether this is YAML's null.
    pub(super) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    fn size(&self) -> usize {
        1 + match &self.value {
            Value::Scalar { .. } => 0,
            Value::List(items) => items.iter().map(Node::size).sum(),
            Value::Map(entries) => entries.iter().map(|(_, node)| 1 + node.size()).sum(),
        }
    }
}

/// `snake_case` to `camelCase`: protobuf's JSON accepts both.
pub(super) fn camel(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut upper = false;
    for letter in name.chars() {
        match letter {
            '_' => upper = true,
            letter if upper => {
                out.extend(letter.to_uppercase());
                upper = false;
            }
            letter => out.push(letter),
        }
    }
    out
}

/// Every document of a file that is not empty.
pub(super) fn parse(text: &str) -> Result<Vec<Node>, SyntaxError> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => builder.take(event, &span)?,
            Err(error) => {
                return Err(SyntaxError { line: error.marker().line(), message: error.info().to_owned() });
            }
        }
    }
    Ok(builder.documents)
}

/// A collection that is not closed yet.
struct Open {
    line: usize,
    anchor: usize,
    /// For a mapping, the key whose value comes next.
    key: Option<Key>,
    value: Value,
    /// For a mapping, what its merge keys bring, which counts less than its own keys.
    merged: Vec<(Key, Node)>,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: Vec<(usize, Node, usize)>,
    nodes: usize,
    documents: Vec<Node>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: &Span) -> Result<(), SyntaxError> {
        let line = span.start.line();
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let text_wanted = tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
                let plain = style == ScalarStyle::Plain && !text_wanted;
                self.nodes += 1;
                let node = Node { line, value: Value::Scalar { text: text.into_owned(), plain } };
                self.finish(node, anchor)?;
            }
            Event::SequenceStart(anchor, _) => self.start(line, anchor, Value::List(Vec::new()))?,
            Event::MappingStart(anchor, _) => self.start(line, anchor, Value::Map(Vec::new()))?,
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(mut done) = self.open.pop() {
                    if let Value::Map(entries) = &mut done.value {
                        add_missing(entries, done.merged);
                    }
                    self.finish(Node { line: done.line, value: done.value }, done.anchor)?;
                }
            }
            Event::Alias(anchor) => {
                let known = self.anchors.iter().rev().find(|(id, ..)| *id == anchor);
                let Some((_, node, size)) = known else {
                    return Err(SyntaxError {
                        line,
                        message: "alias of something that is not complete".into(),
                    });
                };
                self.nodes += size;
                let node = Node { line, value: node.value.clone() };
                self.check_size(line)?;
                self.finish(node, 0)?;
            }
            Event::DocumentStart(_) => self.anchors.clear(),
            Event::DocumentEnd | Event::StreamStart | Event::StreamEnd | Event::Nothing => {}
        }
        self.check_size(line)
    }

    fn check_size(&self, line: usize) -> Result<(), SyntaxError> {
        if self.nodes > MAX_NODES {
            return Err(SyntaxError { line, message: format!("more than {MAX_NODES} values in one file") });
        }
        Ok(())
    }

    fn start(&mut self, line: usize, anchor: usize, value: Value) -> Result<(), SyntaxError> {
        if self.open.len() == MAX_DEPTH {
            return Err(SyntaxError { line, message: format!("nested deeper than {MAX_DEPTH} levels") });
        }
        self.nodes += 1;
        self.open.push(Open { line, anchor, key: None, value, merged: Vec::new() });
        Ok(())
    }

    fn finish(&mut self, node: Node, anchor: usize) -> Result<(), SyntaxError> {
        if anchor != 0 {
            let size = node.size();
            self.anchors.push((anchor, node.clone(), size));
        }
        let Some(parent) = self.open.last_mut() else {
            if !node.is_null() {
                self.documents.push(node);
            }
            return Ok(());
        };
        match &mut parent.value {
            Value::List(items) => items.push(node),
            Value::Map(entries) => match parent.key.take() {
                Some(key) if key.text == "<<" => merge(&mut parent.merged, node)?,
                Some(key) => insert(entries, key, node)?,
                None => parent.key = Some(as_key(node)?),
            },
            Value::Scalar { .. } => {}
        }
        Ok(())
    }
}

fn as_key(node: Node) -> Result<Key, SyntaxError> {
    match node.value {
        Value::Scalar { text, .. } => Ok(Key { line: node.line, text }),
        _ => Err(SyntaxError { line: node.line, message: "a list or mapping cannot be a key".into() }),
    }
}

fn insert(entries: &mut Vec<(Key, Node)>, key: Key, node: Node) -> Result<(), SyntaxError> {
    if let Some((first, _)) = entries.iter().find(|(known, _)| known.text == key.text) {
        let message = format!("key {:?} is already given in line {}", key.text, first.line);
        return Err(SyntaxError { line: key.line, message });
    }
    entries.push((key, node));
    Ok(())
}

/// YAML's merge key: the entries of other mappings, of which the first counts most.
fn merge(merged: &mut Vec<(Key, Node)>, node: Node) -> Result<(), SyntaxError> {
    match node.value {
        Value::Map(entries) => {
            add_missing(merged, entries);
            Ok(())
        }
        Value::List(maps) => maps.into_iter().try_for_each(|map| merge(merged, map)),
        Value::Scalar { .. } => {
            Err(SyntaxError { line: node.line, message: "`<<` wants a mapping to merge".into() })
        }
    }
}

fn add_missing(entries: &mut Vec<(Key, Node)>, others: Vec<(Key, Node)>) {
    for (key, value) in others {
        if entries.iter().all(|(known, _)| known.text != key.text) {
            entries.push((key, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> SyntaxError {
        parse(text).expect_err("the text is wrong")
    }

    #[test]
    fn documents_know_their_lines() {
        let documents = parse("a: 1\n---\n# nothing\n---\nb:\n- c: x\n  d: y\n").unwrap();
        assert_eq!(documents.len(), 2);
        assert_eq!(documents[1].line, 5);
        assert_eq!(documents[1].locate("b[0].d").line, 7);
        assert_eq!(documents[1].locate("b[0].missing").line, 6);
    }

    #[test]
    fn a_syntax_error_tells_its_line() {
        assert_eq!(error("a: 1\nb: [1,\n").line, 3);
        assert_eq!(
            error("a: 1\na: 2\n"),
            SyntaxError { line: 2, message: "key \"a\" is already given in line 1".into() }
        );
    }

    #[test]
    fn aliases_and_merges_are_resolved() {
        let documents = parse("a: &x {k: v, l: w}\nb: *x\nc: {<<: *x, k: own}\n").unwrap();
        let text = |path: &str| match &documents[0].locate(path).value {
            Value::Scalar { text, .. } => text.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!((text("b.k"), text("c.l")), ("v".into(), "w".into()));
    }

    #[test]
    fn a_bomb_of_aliases_is_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..10 {
            let items = vec![format!("*a{}", level - 1); 10].join(", ");
            text += &format!("a{level}: &a{level} [{items}]\n");
        }
        assert!(error(&text).message.contains("more than"));
        assert!(error(&"[".repeat(65)).message.contains("deeper"));
        assert_eq!(error(&"[".repeat(100_000)).line, 1);
    }

    #[test]
    fn names_are_known_in_both_spellings() {
        assert_eq!(camel("direct_response"), "directResponse");
        assert_eq!(camel("consecutive_5xx_errors"), "consecutive5xxErrors");
    }
}
