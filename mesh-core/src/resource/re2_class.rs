//! Classes of characters, and characters that are written with a backslash, in the expressions of RE2.

use super::re2::Translator;

/// The general categories of Unicode that RE2 knows; its other groups are scripts.
const CATEGORIES: [&str; 37] = [
    "Any", "C", "Cc", "Cf", "Co", "Cs", "L", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn", "N", "Nd",
    "Nl", "No", "P", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps", "S", "Sc", "Sk", "Sm", "So", "Z", "Zl", "Zp",
    "Zs",
];
/// What may stand in `[:name:]`.
const POSIX_CLASSES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space",
    "upper", "word", "xdigit",
];

impl Translator<'_> {
    /// What follows a backslash in and outside of classes, where it is a class: `\d`, `\pL`, `\P{Greek}`.
    pub(super) fn named_class(&mut self) -> Result<bool, String> {
        let class = match self.rest.chars().next() {
            Some('d') => "[0-9]",
            Some('D') => "[^0-9]",
            Some('s') => r"[\t\n\x0C\r ]",
            Some('S') => r"[^\t\n\x0C\r ]",
            Some('w') => "[0-9A-Za-z_]",
            Some('W') => "[^0-9A-Za-z_]",
            Some('p') => return self.unicode_class(false).map(|()| true),
            Some('P') => return self.unicode_class(true).map(|()| true),
            _ => return Ok(false),
        };
        self.next();
        self.out.push_str(class);
        Ok(true)
    }

    fn unicode_class(&mut self, mut negated: bool) -> Result<(), String> {
        self.next();
        let one = self.rest;
        let name = match self.next() {
            Some('{') => {
                negated ^= self.take("^");
                self.until("}").unwrap_or_default()
            }
            _ => &one[..one.len() - self.rest.len()],
        };
        let kind = if CATEGORIES.contains(&name) { "" } else { "Script=" };
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphabetic() || c == '_') {
            return Err(format!("{name:?} is no class of characters"));
        }
        self.out.push_str(&format!("\\{}{{{kind}{name}}}", if negated { 'P' } else { 'p' }));
        Ok(())
    }

    /// What follows a backslash, where it is one character.
    pub(super) fn escaped(&mut self) -> Result<char, String> {
        let start = self.rest;
        let Some(c) = self.next() else { return Err("it ends in a backslash".to_owned()) };
        let code = match c {
            'a' => 7,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            'v' => 11,
            'x' if self.take("{") => {
                let digits =
                    self.until("}").filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
                digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(u32::MAX)
            }
            'x' => {
                let mut digit = || self.next().and_then(|c| c.to_digit(16));
                let both = digit().and_then(|high| Some(high * 16 + digit()?));
                both.unwrap_or(u32::MAX)
            }
            '0'..='7' => {
                // A single digit but 0 would be what a group matched, which RE2 has not.
                let len = start.bytes().take(3).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
                if len == 1 && c != '0' {
                    return Err(format!("\\{c} is not supported"));
                }
                self.rest = &start[len..];
                u32::from_str_radix(&start[..len], 8).unwrap_or(u32::MAX)
            }
            c if c.is_ascii() && !c.is_ascii_alphanumeric() && c != '_' => u32::from(c),
            _ => u32::MAX,
        };
        char::from_u32(code).ok_or_else(|| {
            let end = start.len() - self.rest.len();
            format!("\\{} is not supported", &start[..end])
        })
    }

    /// What follows `[`.
    pub(super) fn class(&mut self) -> Result<(), String> {
        self.out.push('[');
        if self.take("^") {
            self.out.push('^');
        }
        let mut first = true;
        while first || !self.take("]") {
            // A bracket that comes first is one of the characters.
            first = false;
            if let Some((name, rest)) = self.rest.strip_prefix("[:").and_then(|rest| rest.split_once(":]")) {
                if !POSIX_CLASSES.contains(&name.trim_start_matches('^')) || name.starts_with("^^") {
                    return Err(format!("[:{name}:] is no class of characters"));
                }
                self.out.push_str(&format!("[:{name}:]"));
                self.rest = rest;
                continue;
            }
            if let Some(rest) = self.rest.strip_prefix('\\') {
                let before = std::mem::replace(&mut self.rest, rest);
                if self.named_class()? {
                    continue;
                }
                self.rest = before;
            }
            let from = self.member()?;
            self.literal(from);
            if self.rest.starts_with('-') && self.rest != "-" && !self.rest.starts_with("-]") {
                self.next();
                let to = self.member()?;
                if to < from {
                    return Err(format!("{from}-{to} ends before it begins"));
                }
                self.out.push('-');
                self.literal(to);
            }
        }
        self.out.push(']');
        Ok(())
    }

    /// One character of a class.
    fn member(&mut self) -> Result<char, String> {
        match self.next() {
            Some('\\') => self.escaped(),
            Some(c) => Ok(c),
            None => Err("a ] is missing".to_owned()),
        }
    }
}
