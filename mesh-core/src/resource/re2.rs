//! Regular expressions as Envoy, Istio and Go write them: RE2.
//!
//! The `regex` crate is near, but not the same: its `\d`, `\w`, `\s` and `\b` know all of Unicode (so that `\w{1,64}` is
//! a megabyte), it refuses `/{id}` and `[[a]`, and reads `a&&b` in a class, `\<` and `\u0041` as something that RE2 has
//! not. So an expression is read here by RE2's rules, refused where RE2 refuses it, and written anew for the crate.

use regex::bytes::{Regex, RegexBuilder};
use std::fmt;

/// The memory that one compiled regular expression may take, in bytes; RE2 has 8 MiB, in which it fits less.
pub const REGEX_SIZE_LIMIT: usize = 8 << 20;
/// How often a part of a regular expression may be said to be repeated, repetitions within it multiplied (RE2).
pub const MAX_REGEX_REPEATS: u32 = 1_000;

/// A compiled regular expression.
///
/// Text that is not UTF-8 should be made so before it is matched, as in Go: a `.` takes no single byte of it.
#[derive(Clone)]
pub struct Expression {
    regex: Regex,
    written: Box<str>,
}

impl Expression {
    /// An expression that has to match a whole text.
    ///
    /// # Errors
    ///
    /// Why RE2 would refuse the expression, or that it takes more than [`REGEX_SIZE_LIMIT`].
    pub fn whole(written: &str) -> Result<Self, String> {
        Self::compile(written, |regex| format!(r"\A(?:{regex})\z"))
    }

    /// An expression that may match anywhere in a text.
    ///
    /// # Errors
    ///
    /// As [`whole`](Self::whole).
    pub fn anywhere(written: &str) -> Result<Self, String> {
        Self::compile(written, |regex| regex)
    }

    fn compile(written: &str, frame: impl Fn(String) -> String) -> Result<Self, String> {
        let compiled = translate(written).and_then(|regex| {
            let compiled = RegexBuilder::new(&frame(regex)).size_limit(REGEX_SIZE_LIMIT).build();
            compiled.map_err(|error| match error {
                regex::Error::CompiledTooBig(limit) => format!("it takes more than {limit} bytes of memory"),
                // The last line says what is wrong; those before show an expression that nobody wrote.
                error => {
                    let error = error.to_string();
                    error.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
                }
            })
        });
        match compiled {
            Ok(regex) => Ok(Self { regex, written: written.into() }),
            Err(why) => Err(format!("{written:?} is not a usable expression: {why}")),
        }
    }

    /// Whether the expression matches `text`.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text.as_bytes())
    }

    /// How many groups there are, the whole match being one.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.regex.captures_len()
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.written, f)
    }
}

/// As it was written.
impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

/// An expression of RE2 as the `regex` crate writes it. Every parenthesis that is opened is closed, and the other way
/// round, so that what comes of it may stand in a group.
fn translate(written: &str) -> Result<String, String> {
    let mut translator = Translator {
        rest: written,
        out: String::with_capacity(written.len() + 16),
        open: Vec::new(),
        names: Vec::new(),
        repeats: 1,
        just_repeated: false,
    };
    while !translator.rest.is_empty() {
        translator.item()?;
    }
    if translator.open.is_empty() { Ok(translator.out) } else { Err("a ) is missing".to_owned()) }
}

pub(super) struct Translator<'a> {
    pub(super) rest: &'a str,
    pub(super) out: String,
    /// For each group that is open, how often a part of it is repeated at most.
    open: Vec<u32>,
    names: Vec<&'a str>,
    /// How often a part of the last item is repeated at most.
    repeats: u32,
    /// Whether the last item was a repetition, after which there must be none.
    just_repeated: bool,
}

impl<'a> Translator<'a> {
    pub(super) fn next(&mut self) -> Option<char> {
        let mut rest = self.rest.chars();
        let c = rest.next();
        self.rest = rest.as_str();
        c
    }

    pub(super) fn take(&mut self, prefix: &str) -> bool {
        let rest = self.rest.strip_prefix(prefix);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// What comes before `end`, which is taken as well.
    pub(super) fn until(&mut self, end: &str) -> Option<&'a str> {
        let (before, rest) = self.rest.split_once(end)?;
        self.rest = rest;
        Some(before)
    }

    fn item(&mut self) -> Result<(), String> {
        let was_repeated = std::mem::take(&mut self.just_repeated);
        let counted = self.counted();
        let c = self.next().unwrap_or_default();
        if counted.is_some() || matches!(c, '*' | '+' | '?') {
            if was_repeated {
                return Err("a repetition must not be repeated".to_owned());
            }
            return self.repeat(c, counted);
        }
        // The last item counts for the group that it is in.
        let last = std::mem::replace(&mut self.repeats, 1);
        if let Some(group) = self.open.last_mut() {
            *group = last.max(*group);
        }
        match c {
            '(' => self.group()?,
            ')' => {
                self.repeats = self.open.pop().ok_or_else(|| "a ) closes nothing".to_owned())?;
                self.out.push(')');
            }
            '|' | '^' | '$' | '.' => self.out.push(c),
            '[' => self.class()?,
            '\\' => self.escape()?,
            c => self.literal(c),
        }
        Ok(())
    }

    /// `{2}`, `{2,}` or `{2,5}`; anything else in braces is text.
    fn counted(&self) -> Option<Count> {
        let (inner, rest) = self.rest.strip_prefix('{')?.split_once('}')?;
        let number = |text: &str| {
            let plain =
                text.bytes().all(|byte| byte.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
            (plain && !text.is_empty()).then(|| text.parse().unwrap_or(u32::MAX))
        };
        let (min, max) = match inner.split_once(',') {
            None => (number(inner)?, Some(number(inner)?)),
            Some((min, "")) => (number(min)?, None),
            Some((min, max)) => (number(min)?, Some(number(max)?)),
        };
        Some(Count { min, max, len: self.rest.len() - rest.len() })
    }

    fn repeat(&mut self, operator: char, counted: Option<Count>) -> Result<(), String> {
        self.just_repeated = true;
        match counted {
            None => self.out.push(operator),
            Some(Count { min, max, len }) => {
                // The brace is read already.
                self.rest = &self.rest[len - 1..];
                if max.is_some_and(|max| max < min) {
                    return Err(format!("{{{min},{}}} ends before it begins", max.unwrap_or_default()));
                }
                let most = max.unwrap_or(min);
                self.repeats = self.repeats.saturating_mul(most.max(1));
                if most.max(self.repeats) > MAX_REGEX_REPEATS {
                    return Err(format!("a part is to be repeated more than {MAX_REGEX_REPEATS} times"));
                }
                let max = max.map(|max| max.to_string()).unwrap_or_default();
                self.out.push_str(&format!("{{{min},{max}}}"));
            }
        }
        if self.take("?") {
            self.out.push('?');
        }
        Ok(())
    }

    /// What follows `(`.
    fn group(&mut self) -> Result<(), String> {
        if self.take("?P<")
            || (!self.rest.starts_with("?<=") && !self.rest.starts_with("?<!") && self.take("?<"))
        {
            let name = self.until(">").unwrap_or_default();
            if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_') {
                return Err(format!("{name:?} is no name of a group"));
            }
            if self.names.contains(&name) {
                return Err(format!("there are two groups {name:?}"));
            }
            self.names.push(name);
        } else if self.take("?") {
            return self.flags();
        }
        self.out.push('(');
        self.open.push(1);
        Ok(())
    }

    /// What follows `(?`.
    fn flags(&mut self) -> Result<(), String> {
        let wrong = || Err("after (? there is only P<name>, <name>, and the flags i, m, s and U".to_owned());
        let mut flags = String::new();
        loop {
            match self.next() {
                Some(flag @ ('i' | 'm' | 's' | 'U')) => flags.push(flag),
                Some('-') if !flags.contains('-') => flags.push('-'),
                Some(':' | ')') if flags.ends_with('-') => return wrong(),
                Some(':') => {
                    self.out.push_str(&format!("(?{flags}:"));
                    self.open.push(1);
                    return Ok(());
                }
                Some(')') if flags.is_empty() => return Ok(()),
                Some(')') => {
                    self.out.push_str(&format!("(?{flags})"));
                    return Ok(());
                }
                _ => return wrong(),
            }
        }
    }

    /// What follows a backslash outside of classes.
    fn escape(&mut self) -> Result<(), String> {
        if self.take("Q") {
            // Without an end it goes on to that of the expression.
            let text = self.until("\\E").unwrap_or_else(|| std::mem::take(&mut self.rest));
            text.chars().for_each(|c| self.literal(c));
        } else if self.take("b") {
            self.out.push_str(r"(?-u:\b)");
        } else if self.take("B") {
            self.out.push_str(r"(?-u:\B)");
        } else if self.take("A") {
            self.out.push_str(r"\A");
        } else if self.take("z") {
            self.out.push_str(r"\z");
        } else if self.take("C") {
            self.out.push_str("(?s-u:.)");
        } else if !self.named_class()? {
            let c = self.escaped()?;
            self.literal(c);
        }
        Ok(())
    }

    pub(super) fn literal(&mut self, c: char) {
        // The crate lets all punctuation be escaped, but reads these two as beginnings and ends of words.
        if c.is_ascii_punctuation() && !matches!(c, '<' | '>') {
            self.out.push('\\');
        }
        self.out.push(c);
    }
}

/// How often something is repeated.
struct Count {
    min: u32,
    /// None is without end.
    max: Option<u32>,
    /// How many bytes it is written in.
    len: usize,
}

#[cfg(test)]
#[path = "re2_tests.rs"]
mod tests;
