//! The strength of public keys.

use jsonwebtoken::{AlgorithmFamily, DecodingKey, DecodingKeyKind};

/// Shorter RSA keys are too weak (RFC 7518, 3.3). The curves of the other algorithms are strong enough.
const RSA_BITS_MIN: usize = 2_048;

/// Whether the key is safe to verify signatures with.
pub(super) fn is_strong(key: &DecodingKey) -> bool {
    if key.family() != AlgorithmFamily::Rsa {
        return true;
    }
    let modulus = match key.kind() {
        DecodingKeyKind::RsaModulusExponent { n, .. } => Some(n.as_slice()),
        // An RSAPublicKey (RFC 8017, A.1.1): a sequence of the modulus and the exponent.
        DecodingKeyKind::SecretOrDer(der) => content(der, 0x30).and_then(|sequence| content(sequence, 0x02)),
    };
    modulus.is_some_and(|modulus| bits(modulus) >= RSA_BITS_MIN)
}

fn bits(number: &[u8]) -> usize {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let digits = &number[zeros..];
    digits.len() * 8 - digits.first().map_or(0, |first| first.leading_zeros() as usize)
}

/// The content of a DER value with this tag.
fn content(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    let (&[found, length], rest) = bytes.split_first_chunk()?;
    let (length, rest) = if length < 0x80 {
        (usize::from(length), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
        let length =
            digits.iter().try_fold(0_usize, |length, digit| length.checked_mul(256)?.checked_add(usize::from(*digit)));
        (length?, rest)
    };
    rest.get(..length).filter(|_| found == tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rsa_keys_have_2048_bits_or_more() {
        let of_components = |modulus: &[u8]| DecodingKey::from_rsa_raw_components(modulus, &[1, 0, 1]);
        assert!(is_strong(&of_components(&[0xff; 256])));
        assert!(!is_strong(&of_components(&[&[0x7f][..], &[0xff; 255]].concat())), "2047 bits");
        assert!(!is_strong(&of_components(&[&[0; 200][..], &[0xff; 128]].concat())), "leading zeros");
        assert!(!is_strong(&of_components(&[])));

        let of_pem = |pem: &[u8]| DecodingKey::from_rsa_pem(pem).expect("a public key");
        assert!(is_strong(&of_pem(include_bytes!("tests/rsa-public.pem"))));
        assert!(!is_strong(&of_pem(include_bytes!("tests/rsa-weak-public.pem"))));
        for der in [&[][..], &[0x30], &[0x30, 0x82, 1], &[0x30, 0x02, 0x02, 0x7f], &[0x30, 0xff, 0]] {
            assert!(!is_strong(&DecodingKey::from_rsa_der(der)), "{der:?}");
        }
    }
}
