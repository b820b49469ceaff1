// The import of a CSV file: its bytes in, the rows of the API out.
export { choices, formatOf, guess, type FieldName, type Format } from './columns'
export { productsOf, type ParsedRow, type RowError } from './products'
export { readTable, type Table } from './table'
