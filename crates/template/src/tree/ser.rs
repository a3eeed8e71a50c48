//! From anything that can be written as JSON to a tree, without plain JSON in between.

use super::{Members, Name, Tree};
use serde::ser::{
    Error as _, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant,
    SerializeTuple, SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use serde_json::{Error, Number};

impl Tree {
    /// What `value` is as JSON; an error when it can be none, such as a map whose keys are no texts.
    pub fn of(value: &(impl Serialize + ?Sized)) -> Result<Self, Error> {
        value.serialize(Writer)
    }
}

struct Writer;

/// A list that is being written, in a variant of an enumeration perhaps.
struct List {
    items: Vec<Tree>,
    variant: Option<&'static str>,
}

/// An object that is being written, in a variant of an enumeration perhaps.
struct Object {
    members: Members,
    /// The name whose value comes next.
    name: Option<Name>,
    variant: Option<&'static str>,
}

fn within(variant: Option<&'static str>, value: Tree) -> Tree {
    match variant {
        Some(variant) => Tree::Object(Members::from([(Name::Known(variant), value)])),
        None => value,
    }
}

impl List {
    fn new(length: Option<usize>, variant: Option<&'static str>) -> Self {
        // What is said may be wrong: it is no reason to take much.
        let items = Vec::with_capacity(length.unwrap_or_default().min(1024));
        Self { items, variant }
    }

    fn push(&mut self, item: &(impl Serialize + ?Sized)) -> Result<(), Error> {
        self.items.push(item.serialize(Writer)?);
        Ok(())
    }

    fn finish(self) -> Tree {
        within(self.variant, self.items.into())
    }
}

impl Object {
    fn new(length: Option<usize>, variant: Option<&'static str>) -> Self {
        Self {
            members: Members::with_capacity(length.unwrap_or_default().min(64)),
            name: None,
            variant,
        }
    }

    fn field(
        &mut self,
        name: &'static str,
        value: &(impl Serialize + ?Sized),
    ) -> Result<(), Error> {
        self.members.insert(name, value.serialize(Writer)?);
        Ok(())
    }

    fn finish(self) -> Tree {
        within(self.variant, self.members.into())
    }
}

/// Scalars of these types are what they are as plain JSON.
macro_rules! scalars {
    ($($method:ident: $type:ty),* $(,)?) => {$(
        fn $method(self, value: $type) -> Result<Tree, Error> {
            Ok(Tree::from(serde_json::to_value(value)?))
        }
    )*};
}

impl Serializer for Writer {
    type Ok = Tree;
    type Error = Error;
    type SerializeSeq = List;
    type SerializeTuple = List;
    type SerializeTupleStruct = List;
    type SerializeTupleVariant = List;
    type SerializeMap = Object;
    type SerializeStruct = Object;
    type SerializeStructVariant = Object;

    scalars! {
        serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32,
        serialize_i64: i64, serialize_i128: i128, serialize_u8: u8, serialize_u16: u16,
        serialize_u32: u32, serialize_u64: u64, serialize_u128: u128, serialize_f32: f32,
        serialize_char: char,
    }

    fn serialize_f64(self, value: f64) -> Result<Tree, Error> {
        Ok(Number::from_f64(value).map_or(Tree::Null, Tree::Number))
    }

    fn serialize_str(self, text: &str) -> Result<Tree, Error> {
        Ok(text.into())
    }

    fn serialize_bytes(self, bytes: &[u8]) -> Result<Tree, Error> {
        Ok(bytes.iter().map(|byte| u64::from(*byte)).collect())
    }

    fn serialize_none(self) -> Result<Tree, Error> {
        Ok(Tree::Null)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Tree, Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<Tree, Error> {
        Ok(Tree::Null)
    }

    fn serialize_unit_struct(self, _name: &'static str) -> Result<Tree, Error> {
        Ok(Tree::Null)
    }

    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<Tree, Error> {
        Ok(variant.into())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<Tree, Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Tree, Error> {
        Ok(within(Some(variant), value.serialize(self)?))
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<List, Error> {
        Ok(List::new(length, None))
    }

    fn serialize_tuple(self, length: usize) -> Result<List, Error> {
        Ok(List::new(Some(length), None))
    }

    fn serialize_tuple_struct(self, _name: &'static str, length: usize) -> Result<List, Error> {
        Ok(List::new(Some(length), None))
    }

    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<List, Error> {
        Ok(List::new(Some(length), Some(variant)))
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Object, Error> {
        Ok(Object::new(length, None))
    }

    fn serialize_struct(self, _name: &'static str, length: usize) -> Result<Object, Error> {
        Ok(Object::new(Some(length), None))
    }

    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Object, Error> {
        Ok(Object::new(Some(length), Some(variant)))
    }
}

/// The parts of lists, however they are called.
macro_rules! lists {
    ($($trait:ident::$method:ident),* $(,)?) => {$(
        impl $trait for List {
            type Ok = Tree;
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), Error> {
                self.push(item)
            }

            fn end(self) -> Result<Tree, Error> {
                Ok(self.finish())
            }
        }
    )*};
}

lists! {
    SerializeSeq::serialize_element,
    SerializeTuple::serialize_element,
    SerializeTupleStruct::serialize_field,
    SerializeTupleVariant::serialize_field,
}

/// The fields of structures, however they are called.
macro_rules! structures {
    ($($trait:ident),*) => {$(
        impl $trait for Object {
            type Ok = Tree;
            type Error = Error;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Error> {
                self.field(name, value)
            }

            fn end(self) -> Result<Tree, Error> {
                Ok(self.finish())
            }
        }
    )*};
}

structures!(SerializeStruct, SerializeStructVariant);

impl SerializeMap for Object {
    type Ok = Tree;
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.name = Some(match key.serialize(Writer)? {
            Tree::String(name) => Name::Shared(name),
            other @ (Tree::Bool(_) | Tree::Number(_)) => Name::from(other.to_string()),
            _ => return Err(Error::custom("a key must be a text")),
        });
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let name = self.name.take();
        let name = name.ok_or_else(|| Error::custom("a value came before its key"))?;
        self.members.insert(name, value.serialize(Writer)?);
        Ok(())
    }

    fn end(self) -> Result<Tree, Error> {
        Ok(self.finish())
    }
}
