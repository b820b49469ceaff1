-- SKU and version of products. While customers buy: the columns change the metadata only, and the index is built in
-- place. A server of 0.2.0 beside neither sets a SKU nor raises a version, and retains both.
--
-- A statement commits by itself, so a repeated migration may find its first part done.
SET @change = IF(
  (SELECT COUNT(*) FROM information_schema.columns
   WHERE table_schema = DATABASE() AND table_name = 'products' AND column_name = 'sku') = 0,
  'ALTER TABLE products
     ADD COLUMN sku VARCHAR(64) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
     ADD COLUMN version BIGINT NOT NULL DEFAULT 1,
     ALGORITHM = INSTANT',
  'DO 0'
);
PREPARE change_products FROM @change;
EXECUTE change_products;
DEALLOCATE PREPARE change_products;
SET @change = IF(
  (SELECT COUNT(*) FROM information_schema.statistics
   WHERE table_schema = DATABASE() AND table_name = 'products' AND index_name = 'uq_products_sku') = 0,
  'ALTER TABLE products ADD CONSTRAINT uq_products_sku UNIQUE (sku), ALGORITHM = INPLACE, LOCK = NONE',
  'DO 0'
);
PREPARE change_products FROM @change;
EXECUTE change_products;
DEALLOCATE PREPARE change_products;
