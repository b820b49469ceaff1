-- SKU and version of products. The columns change the schema only, so no CHECK tests the existing rows. A server of 0.2.0
-- beside neither sets a SKU nor raises a version, and retains both.
ALTER TABLE products ADD COLUMN sku TEXT;
ALTER TABLE products ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
CREATE UNIQUE INDEX uq_products_sku ON products (sku);
