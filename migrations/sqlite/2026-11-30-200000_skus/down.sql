DROP INDEX uq_products_sku;
ALTER TABLE products DROP COLUMN version;
ALTER TABLE products DROP COLUMN sku;
